//! Connections that are lost, and servers that are down.

use crate::proxy::{Cut, Proxy};
use crate::server::{Server, client, rows, sql, table, url};
use crate::{COLUMNS, Row, epoch, error, events, first, restart, row, update};
use std::thread;
use std::time::{Duration, Instant};
use tidemill::{Record, Sink, Update};
use tidemill_postgres::Postgres;

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        thread::yield_now();
    }
}

/// The address by way of a proxy, or with another part replaced.
fn by(from: &str, to: &str) -> String {
    url().replace(from, to)
}

fn host() -> &'static str {
    url().split(['@', '/']).nth(3).unwrap()
}

/// Opens, writes three epochs, restarts between the second and the third, and closes.
fn events_run(url: &str, table: &str) {
    let open = |start| {
        let mut sink: Postgres<Record<Row>> = Postgres::events(url, table).unwrap();
        sink.open(&start).unwrap();
        sink
    };
    let mut sink = open(first("a"));
    let one = epoch(&mut sink, 1, events([row(1, "a"), row(2, "b")])).unwrap();
    epoch(&mut sink, 2, events([row(3, "c")])).unwrap();
    let mut sink = open(restart("a", one, true));
    epoch(&mut sink, 2, events([row(3, "c")])).unwrap();
    epoch(&mut sink, 3, events([row(4, "d")])).unwrap();
    sink.close().unwrap();
}

/// The same of a collection, reconciled at the restart.
fn rows_run(url: &str, table: &str) {
    let open = |start| {
        let mut sink: Postgres<Update<Row>> = Postgres::rows(url, table, ["id"]).unwrap();
        sink.open(&start).unwrap();
        sink
    };
    let mut sink = open(first("a"));
    let one = epoch(&mut sink, 1, vec![update(row(1, "a"), 1), update(row(2, "b"), 1)]).unwrap();
    epoch(&mut sink, 2, vec![update(row(1, "a"), -1), update(row(9, "x"), 1)]).unwrap();
    let mut sink = open(restart("a", one, false));
    sink.restored(1, &mut vec![update(row(1, "a"), 1), update(row(2, "b"), 1)]).unwrap();
    epoch(&mut sink, 2, vec![update(row(2, "b"), -1), update(row(2, "c"), 1)]).unwrap();
    sink.close().unwrap();
}

/// Cuts the connection at each message in turn, until a run is through before the cut.
fn cut_everywhere(run: fn(&str, &str)) {
    let (table, mut admin) = (table(), client());
    let mut after_a_run = |url: &str| {
        let marks = format!("DELETE FROM tidemill_epochs WHERE sink = 'public.{table}'");
        admin.batch_execute(&format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} {COLUMNS}")).unwrap();
        let _ = admin.batch_execute(&marks); // The first time there are none.
        run(url, &table);
        let rows = admin.query(&format!("SELECT t::text FROM {table} t ORDER BY 1"), &[]).unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    };
    let whole = after_a_run(url());
    for cut in [Cut::Request, Cut::Reply] {
        let mut after = 0;
        loop {
            let proxy = Proxy::new(host(), cut, after);
            assert_eq!(after_a_run(&by(host(), &proxy.host)), whole, "cut at {cut:?} {after}");
            if !proxy.has_cut() {
                break;
            }
            after += 1;
        }
        assert!(after > 20, "only {after} messages");
    }
}

#[test]
fn a_stream_survives_a_cut_at_any_message() {
    cut_everywhere(events_run);
}

#[test]
fn a_collection_survives_a_cut_at_any_message() {
    cut_everywhere(rows_run);
}

#[test]
fn a_backend_that_is_killed_in_the_middle_of_a_commit_is_replaced() {
    let table = table();
    // The commit itself waits, by a constraint that is checked then.
    sql(&format!(
        "CREATE TABLE {table} {COLUMNS};
         CREATE FUNCTION {table}() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION {table}()"
    ));
    let mut admin = client();
    admin.batch_execute("SELECT pg_advisory_lock(4711)").unwrap();
    let (name, address) = (table.clone(), format!("{}?application_name={table}", url()));
    let writing = thread::spawn(move || {
        let mut sink: Postgres<Record<Row>> = Postgres::events(&address, &name).unwrap();
        sink.open(&first("a")).unwrap();
        epoch(&mut sink, 1, events([row(1, "a")])).unwrap();
    });
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'
                AND query ILIKE 'commit%'";
    until("a commit waits", || admin.execute(kill, &[&table]).unwrap() == 1);
    admin.batch_execute("SELECT pg_advisory_unlock(4711)").unwrap();
    writing.join().unwrap();
    assert_eq!(rows(&table), ["(1,a,100)"]);
}

#[test]
fn a_server_that_is_down_is_waited_for_and_then_named() {
    let server = Server::start();
    let table = "public.orders";
    let open = |patience| {
        let sink: Postgres<Record<Row>> = Postgres::events(&server.url, table).unwrap();
        let mut sink = sink.create_like(&row(1, "a")).unwrap().patience(patience);
        sink.open(&first("a")).map(|()| sink)
    };
    server.down();
    let text = error(open(Duration::from_millis(100)));
    let place = format!("tidemill@{}/postgres cannot be reached", server.host());
    assert!(text.contains(&place) && !text.contains(server.password()), "{text}");
    server.up();
    let mut sink = open(Duration::from_secs(60)).unwrap();
    epoch(&mut sink, 1, events([row(1, "a")])).unwrap();
    sink.write(2, &mut events([row(2, "b")])).unwrap();
    server.down();
    thread::scope(|threads| {
        threads.spawn(|| sink.commit(2).unwrap());
        server.up();
    });
    let mut client = postgres::Client::connect(&server.url, postgres::NoTls).unwrap();
    let count: i64 = client.query_one("SELECT count(*) FROM orders", &[]).unwrap().get(0);
    assert_eq!(count, 2);
}

#[test]
fn what_a_server_refuses_is_said_at_once_and_without_the_password() {
    let open = |url: &str| {
        let mut sink: Postgres<Record<Row>> = Postgres::events(url, "t")?;
        sink.open(&first("a"))
    };
    let password = url().split([':', '@']).nth(2).unwrap();
    let wrong = error(open(&by(password, "hunter2")));
    assert!(wrong.contains("password authentication failed") && !wrong.contains("hunter2"), "{wrong}");
    assert!(error(open(&by("/postgres", "/nowhere"))).contains("database \"nowhere\" does not exist"));
    for bad in
        ["host=x password=hunter 2", "postgres://me:hunter2@host:port/", "mysql://me:hunter2@host/db", "hunter2", ""]
    {
        let text = error(open(bad));
        assert!(text.contains("the address is not one of PostgreSQL") && !text.contains("hunter"), "{text}");
    }
    let tls = error(open(&format!("{}?sslmode=require", url())));
    assert!(tls.contains("TLS"), "{tls}");
}
