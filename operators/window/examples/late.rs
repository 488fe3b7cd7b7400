//! What a late event does: sales in windows of a minute, read by `rows()` and by `finals()`, both with 30 s of allowed
//! lateness. Each epoch brings one sale, and the watermark follows the latest one: the timeline has it as at the epoch's end,
//! and a sale is late if it is behind what it was at the beginning.
//!
//! `cargo run --release -p tidemill-window --example late` prints the timeline below, made by the job.

use std::collections::BTreeMap;
use tidemill::time::{END, seconds};
use tidemill::timely::dataflow::operators::vec::Map;
use tidemill::{Config, Epoch, Events, Memory, Millis, Record, Result, Seq, Stream, Timing, execute};
use tidemill_window::{Count, IntoWindows, Sum, Window, Windows};

const TIMELINE: &str = "
epoch  watermark  sale            what it does
1           10 s  500 at 10 s
2           50 s  250 at 50 s
3           70 s  100 at 70 s     rows   +1  0 to 60 s: 2 sales, 750
4           70 s  30 at 55 s      rows   -1  0 to 60 s: 2 sales, 750
                                  rows   +1  0 to 60 s: 3 sales, 780
5           95 s  800 at 95 s     final      0 to 60 s: 3 sales, 780
6           95 s  7 at 58 s       rows       too late: 7 at 58 s
                                  finals     too late: 7 at 58 s
7          130 s  60 at 130 s     rows   +1  60 to 120 s: 2 sales, 900
8          155 s  40 at 155 s     rows   -1  0 to 60 s: 3 sales, 780
                                  final      60 to 120 s: 2 sales, 900
9        the end  20 at 170 s     rows   +1  120 to 180 s: 3 sales, 120
                                  final      120 to 180 s: 3 sales, 120
";
// Epoch 3: the watermark has reached the window's end. Rows do not wait for what may still come; finals do.
// Epoch 4: the window is over by 10 s, which is allowed. The row is taken back and said anew, the final one has waited.
// Epoch 5: the window is over by 35 s: from now on nothing changes it, and its final result is given.
// Epoch 6: a sale for that window is too late, and goes to the late stream of each.
// Epoch 8: a row is kept for 60 s after its window's corrections have ended; then it is retracted.

/// Time, cents.
type Sale = (Millis, i64);

fn main() -> Result<()> {
    let sales = [(10, 500), (50, 250), (70, 100), (55, 30), (95, 800), (58, 7), (130, 60), (155, 40), (170, 20)];
    let sales: Vec<Sale> = sales.map(|(s, cents)| (seconds(s), cents)).to_vec();
    let input = Events::new(sales.clone());
    let (rows, finals, watermarks) = (Memory::new(), Memory::new(), Memory::new());
    let (rows_late, finals_late) = (Memory::new(), Memory::new());
    let sinks = (rows.clone(), rows_late.clone(), finals.clone(), finals_late.clone(), watermarks.clone());

    execute(Config { epoch_records: 1, ..Config::default() }, move |job| {
        let (to_rows, to_rows_late, to_finals, to_finals_late, to_watermarks) = sinks.clone();
        let sales = job.source("sales", input.clone(), Timing::by(|sale: &Sale| sale.0))?;
        let moves = sales.tide().map(|tide| Record { time: 0, seq: Seq::new(0, 0), value: tide.watermark });
        Stream::from_inner(moves, &sales).sink("watermarks", to_watermarks)?;

        let turnover = (Count::new(), Sum::of(|sale: &Sale| sale.1));
        let windows = || sales.clone().window(Windows::tumbling(seconds(60)), turnover).allowed_lateness(seconds(30));
        let (rows, late) = windows().rows("rows", seconds(60))?;
        rows.sink("rows out", to_rows)?;
        late.sink("rows late", to_rows_late)?;
        let (finals, late) = windows().finals("finals")?;
        finals.sink("finals out", to_finals)?;
        late.sink("finals late", to_finals_late)
    })?;

    // What each epoch did, in the order of rows, finals, late sales.
    let mut did: BTreeMap<Epoch, Vec<String>> = BTreeMap::new();
    let rows = rows
        .take()
        .into_iter()
        .map(|(epoch, update)| (epoch, format!("rows   {:+}  {}", update.diff, window(&update.row))));
    let finals =
        finals.take().into_iter().map(|(epoch, record)| (epoch, format!("final      {}", window(&record.value))));
    let late = |name, late: Memory<Record<Sale>>| {
        let late = late.take().into_iter();
        late.map(move |(epoch, record)| (epoch, format!("{name:6}     too late: {}", sale(&record.value))))
    };
    let (rows_late, finals_late) = (late("rows", rows_late), late("finals", finals_late));
    for (epoch, line) in rows.chain(finals).chain(rows_late).chain(finals_late) {
        did.entry(epoch).or_default().push(line);
    }

    let mut timeline = format!("\n{:7}{:9}  {:16}{}\n", "epoch", "watermark", "sale", "what it does");
    let mut watermark = 0;
    let watermarks: BTreeMap<Epoch, Millis> =
        watermarks.take().into_iter().map(|(epoch, r)| (epoch, r.value)).collect();
    for (epoch, arrived) in (1..).zip(&sales) {
        watermark = watermarks.get(&epoch).copied().unwrap_or(watermark);
        let reached = if watermark == END { "the end".to_owned() } else { format!("{} s", watermark / 1_000) };
        let first = format!("{epoch:<7}{reached:>9}  {:16}", sale(arrived));
        let lines = did.remove(&epoch).unwrap_or_default();
        let mut lines = lines.iter().map(String::as_str);
        timeline += format!("{first}{}", lines.next().unwrap_or_default()).trim_end();
        timeline += "\n";
        lines.for_each(|line| timeline += &format!("{:34}{line}\n", ""));
    }
    print!("{timeline}");
    assert_eq!(timeline, TIMELINE);
    Ok(())
}

fn sale((time, cents): &Sale) -> String {
    format!("{cents} at {} s", time / 1_000)
}

fn window(window: &Window<(), (u64, i64)>) -> String {
    let (sales, cents) = window.value;
    format!("{} to {} s: {sales} sales, {cents}", window.start / 1_000, window.end / 1_000)
}
