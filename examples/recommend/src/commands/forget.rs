//! `recommend forget`: users leave, and nothing of them is left.

use recommend::forget::{Kept, forget};
use shop_input::amazon;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use tidemill::Millis;
use tidemill_shop::{Action, ShopEvent};

/// The flags of `recommend forget`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Amazon Video: a user and an item a line, in order.
    #[arg(long, value_name = "FILE")]
    video: PathBuf,
    /// How many users are forgotten at once: those with the most events.
    #[arg(long, value_name = "N", default_value_t = 100)]
    users: usize,
}

/// Replays the events, forgets users, and compares with a replay that never saw them.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let users = amazon::users(&arguments.video)?;
    let mut heaviest: Vec<(Reverse<usize>, u32)> =
        users.iter().map(|(user, items)| (Reverse(items.len()), *user)).collect();
    heaviest.sort_unstable();
    let heaviest: BTreeSet<u64> = heaviest.into_iter().take(arguments.users).map(|(_, user)| u64::from(user)).collect();
    let views = |users: &BTreeMap<u32, Vec<u32>>| -> Vec<(Millis, ShopEvent)> {
        let of = |(user, items): (&u32, &Vec<u32>)| {
            let user = u64::from(*user);
            let view = |item: &u32| ShopEvent::new(user, Action::View { item: u64::from(*item) });
            items.iter().map(view).collect::<Vec<_>>()
        };
        (0..).zip(users.iter().flat_map(of)).collect()
    };
    let all = views(&users);
    let theirs = all.iter().filter(|event| heaviest.contains(&event.1.user)).count();
    println!(
        "{} events of {} users; {} users with {theirs} events are forgotten at once",
        all.len(),
        users.len(),
        heaviest.len()
    );
    let others: Vec<_> = all.iter().copied().filter(|event| !heaviest.contains(&event.1.user)).collect();
    let wishes: Vec<u64> = heaviest.into_iter().collect();
    for (kept, what) in [(Kept::Links, "events and links"), (Kept::Everything, "everything")] {
        let forgotten = forget(&all, &wishes, kept, false)?;
        println!("from {what}: {:.1} ms", forgotten.took.as_secs_f64() * 1e3);
        for (kind, [gone, come]) in &forgotten.rows {
            println!("  {kind}: {gone} rows went, {come} came in their place");
        }
        let (audited, never) = (forget(&all, &wishes, kept, true)?, forget(&others, &[], kept, true)?);
        let differ = audited.left.symmetric_difference(&never.left).count();
        println!("  beside a replay that never saw them: {} rows, {differ} differ", never.left.len());
    }
    Ok(())
}
