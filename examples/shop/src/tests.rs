//! A small simulated shop through the whole graph.

use crate::before_after::{filler, with_events, without};
use crate::graph::Options;
use crate::record::{Recorder, compare};
use crate::replay::replay;
use behaviour::catalogue::Catalogue;
use shop_simulator::{Settings, Simulation};
use std::sync::Arc;
use tidemill::time::{days, hours, minutes};
use tidemill::{Config, Millis};
use tidemill_shop::{Kind, Line};

fn settings() -> Settings {
    Settings { users: 120, items: 150, categories: 10, days: 10, views: 40, ..Settings::default() }
}

fn options() -> Options {
    Options {
        keep: days(365),
        half_life: hours(24),
        rules: shop_simulator::rules().unwrap(),
        lists: recommend::live::Settings { learns: false, ..Default::default() },
        refresh: None,
        catalogue: Arc::new(Catalogue::simulated(&settings())),
        taste: None,
        scorer: None,
    }
}

#[test]
fn all_that_is_kept_is_the_same_on_any_number_of_workers() {
    let options = Options { lists: recommend::live::Settings::default(), ..options() };
    let lines: Vec<Line> = Simulation::new(settings()).collect();
    let run = |workers| replay(lines.clone(), &options, Config::workers(workers), Recorder::default()).unwrap();
    let one = run(1);
    assert!(one.lists.len() > 80 && one.recorded.rows.len() > 5_000, "{} {}", one.lists.len(), one.recorded.rows.len());
    for workers in [2, 4] {
        assert_eq!(compare(&one.recorded, &run(workers).recorded).1, 0, "{workers} workers");
    }
}

#[test]
fn lists_of_the_last_state_only_are_made_once_all_has_been_read() {
    let end = settings().start + days(12);
    let lists = recommend::live::Settings { from: end, there: Millis::MAX / 4, anew: 0, ..options().lists };
    let options = Options { refresh: Some(end), lists, ..options() };
    let mut lines: Vec<Line> = Simulation::new(settings()).collect();
    lines.retain(|line| line.time < end);
    let ran = replay(lines, &options, Config::workers(2), Recorder::default()).unwrap();
    let rows = |name: &str| ran.recorded.rows.keys().filter(|row| row.0 == name).count();
    assert!(rows("histories") > 80, "{}", rows("histories"));
    assert_eq!((rows("suggestions"), ran.lists.len()), (rows("histories"), rows("histories")));
}

#[test]
fn nothing_is_left_of_a_user_who_is_forgotten() {
    let mut lines: Vec<Line> = Simulation::new(settings()).collect();
    lines.retain(|line| line.kind != Kind::Forget);
    let end = settings().start + days(10);
    let views = |user: u64| lines.iter().filter(|line| line.user == Some(user) && line.kind == Kind::View).count();
    let user = (1..=settings().users).max_by_key(|user| views(*user)).unwrap();
    let forget = Line { user: Some(user), kind: Kind::Forget, ..filler(u64::MAX / 2, end) };
    // At once, and one after the other.
    for anew in [0, minutes(1)] {
        let options = Options { lists: recommend::live::Settings { anew, ..options().lists }, ..options() };
        let run = |lines: Vec<Line>| {
            replay(with_events(lines, &[forget]), &options, Config::workers(2), Recorder::default()).unwrap()
        };
        let (forgotten, never) = (run(lines.clone()), run(without(&lines, user)));
        let (rows, differ) = compare(&forgotten.recorded, &never.recorded);
        assert!(rows > 5_000 && differ == 0, "{differ} of {rows} differ");
        assert!(forgotten.held.keys().all(|held| held.event.user != user));
        let [went] = &forgotten.went[..] else { panic!("{:?}", forgotten.went) };
        assert_eq!((went.user, went.time, never.went.len()), (user, end, 0));
        let one = ["habits", "histories", "lists", "segments", "suggestions"];
        assert!(went.events > 20 && one.iter().all(|name| went.rows.get(*name) == Some(&1)), "{went:?}");
        assert!(went.rows["sessions"] > 2 && went.shared["what follows"][0] > 20, "{went:?}");
    }
}
