//! `fraud features`: every payment's features, out of the streaming graph.

use std::path::{Path, PathBuf};

use fraud::features::Features;
use fraud::{graph, input};
use tidemill::time::seconds;
use tidemill::{Config, Epoch, Record, Sink, SinkError, Start};
use tidemill_files::Output;

/// The flags of `fraud features`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The CSV file to write; an existing one is replaced. "-" is standard output.
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    /// Transactions as `fraud generate` writes them; they are generated if this is not given.
    #[arg(long, value_name = "FILE.csv")]
    input: Option<PathBuf>,
    /// Days until a payment's label is known.
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u64).range(..=3_650))]
    label_delay: u64,
    /// Seconds by which payments may be out of order; what is later than that is left out and counted.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    disorder: u32,
    #[command(flatten)]
    engine: tidemill::Flags,
}

/// Streams all transactions through the graph and writes each one's final features.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::from_flags(&arguments.engine)?;
    let payments = input::payments(arguments.input.as_deref());
    let made = tidemill::report::cpu_seconds();
    let (delay, disorder) = (arguments.label_delay, seconds(arguments.disorder.into()));
    let out = arguments.out.clone();
    let report = tidemill::execute(config, move |job| {
        let features = graph::final_features(payments.stream(job, "payments", disorder)?, delay)?;
        features.sink("features", FeatureCsv::new(&out)?)
    })?
    .finished()?;
    let cpu = tidemill::report::cpu_seconds() - made;
    let written = report.operator("features").map_or(0, |features| features.records_in);
    let lost = match report.late() {
        0 => String::new(),
        late => format!(" ({late} came too late and are left out: --disorder SECONDS lets them be out of order)"),
    };
    eprintln!(
        "{}: {written} transactions{lost} in {:.2} s of wall and {cpu:.2} s of CPU time: {:.2} million per CPU second; peak memory {} MiB",
        arguments.out.display(),
        report.wall_s,
        report.records as f64 / cpu.max(0.01) / 1e6,
        report.peak_kb / 1024,
    );
    Ok(())
}

/// Writes features as CSV without a header: integers only, so nothing needs quoting.
struct FeatureCsv {
    out: Output,
    text: Vec<u8>,
}

impl FeatureCsv {
    fn new(path: &Path) -> Result<Self, SinkError> {
        Ok(FeatureCsv { out: Output::new(path.into())?, text: Vec::new() })
    }
}

impl Sink for FeatureCsv {
    type Item = Record<Features>;

    fn open(&mut self, start: &Start) -> Result<(), SinkError> {
        start.saved.as_ref().map_or(Ok(()), |saved| self.out.resume(saved))
    }

    fn write(&mut self, _: Epoch, items: &mut Vec<Record<Features>>) -> Result<(), SinkError> {
        let mut digits = itoa::Buffer::new();
        for Record { value: f, .. } in items.drain(..) {
            let row = [f.sec, f.customer, f.terminal, f.cents, f.c_n1].map(u64::from);
            let customer = [f.c_s1, f.c_n7.into(), f.c_s7, f.c_n30.into(), f.c_s30];
            let terminal = [f.t_n1, f.t_f1, f.t_n7, f.t_f7, f.t_n30, f.t_f30].map(u64::from);
            for number in row.into_iter().chain(customer).chain(terminal) {
                self.text.extend_from_slice(digits.format(number).as_bytes());
                self.text.push(b',');
            }
            self.text.pop();
            self.text.push(b'\n');
        }
        self.out.write(&self.text)?;
        self.text.clear();
        Ok(())
    }

    fn commit(&mut self, _: Epoch) -> Result<(), SinkError> {
        self.out.flush()
    }

    fn save(&mut self) -> Result<Vec<u8>, SinkError> {
        self.out.save()
    }

    fn close(&mut self) -> Result<(), SinkError> {
        self.out.close()
    }
}
