//! Stands between a sink and the server, and cuts the connection once, at a message of one's choice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cut {
    /// The server never hears it.
    Request,
    /// The server has done it, and the client never hears.
    Reply,
}

pub(crate) struct Proxy {
    pub host: String,
    left: Arc<AtomicI64>,
}

impl Proxy {
    /// Lets `after` messages of the kind pass, then cuts, and never again.
    pub fn new(server: &str, cut: Cut, after: i64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let left = Arc::new(AtomicI64::new(after));
        let (server, counter) = (server.to_owned(), Arc::clone(&left));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let [a, b] = [(&client, &server), (&server, &client)]
                    .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&counter)));
                thread::spawn(move || pass(a.0, a.1, (cut == Cut::Request).then_some(a.2)));
                thread::spawn(move || pass(b.0, b.1, (cut == Cut::Reply).then_some(b.2)));
            }
        });
        Proxy { host, left }
    }

    /// Whether it came to that.
    pub fn has_cut(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, left: Option<Arc<AtomicI64>>) {
    let mut buffer = [0; 65536];
    while let Ok(n) = from.read(&mut buffer) {
        let cut = left.as_ref().is_some_and(|left| left.fetch_sub(1, Ordering::SeqCst) == 0);
        if n == 0 || cut || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
