//! Runs a graph: workers, progress, signals, panics, and the end.

use crate::checkpoint::Archive;
use crate::cluster::{Bus, Cluster, Mesh, end_with_launcher, not_ready, ready};
use crate::config::{Config, Flags};
use crate::error::{Error, Result};
use crate::explain_time::{self, Chronicle, TimeExplainer, Watchdog};
use crate::job::Job;
use crate::report::{OperatorReport, Report};
use crate::runtime::{Asked, Runtime, Shared};
use crate::signals::Signals;
use crate::time::Epoch;
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Once, PoisonError};
use std::time::{Duration, Instant};
use timely::communication::WorkerGuards;
use timely::worker::Worker;

/// Runs a graph as a whole program: takes the engine's flags from the command line, runs until
/// the input ends or a signal comes, and turns an error into a message and an exit code: 0 if all is done, or a signal has
/// ended a live job, 130 if it came before the end of input that has one, else [`Error::exit_code`]'s.
///
/// Programs with flags of their own flatten [`Flags`] into theirs and call [`execute`].
pub fn run<G>(graph: G) -> ExitCode
where
    G: for<'s> Fn(&Job<'s>) -> Result<()> + Send + Sync + 'static,
{
    #[derive(clap::Parser)]
    #[command(about = "A graph on Tidemill", long_about = None)]
    struct Program {
        #[command(flatten)]
        engine: Flags,
    }
    let program = <Program as clap::Parser>::parse();
    let done = Config::from_flags(&program.engine).and_then(|config| execute(config, graph));
    // A job whose input does not end is always ended by a signal.
    match done.and_then(|report| if report.live { Ok(report) } else { report.finished() }) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

/// Ends a program whose `main` does more than run one graph: prints what went wrong, with what led to it, and gives the exit
/// code of the engine's error among these causes ([`Error::exit_code`]), else 1. It takes what `anyhow` collects:
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     tidemill::exit(work())
/// }
///
/// fn work() -> anyhow::Result<()> {
///     // …
/// #   Ok(())
/// }
/// ```
pub fn exit<E: AsRef<dyn std::error::Error + Send + Sync>>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(error.as_ref()),
    }
}

fn complain(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let text: Vec<String> = causes.clone().map(ToString::to_string).collect();
    eprintln!("error: {}", text.join(": "));
    let code = causes.into_iter().find_map(|error| error.downcast_ref::<Error>()).map_or(1, Error::exit_code);
    ExitCode::from(code)
}

/// Runs a graph until its input has ended and everything has come out of it, or until SIGINT or
/// SIGTERM, which end it at the next epoch.
///
/// Where the job has several processes, all end together and give the same report, and one that fails ends the others
/// ([`Error::Peer`], [`Error::Lost`]); workers that do not come back by then are left behind.
///
/// `graph` builds the same graph on every worker. A panic in it, or in an operator, stops all
/// workers and is returned as an error with the operator's name.
pub fn execute<G>(config: Config, graph: G) -> Result<Report>
where
    G: for<'s> Fn(&Job<'s>) -> Result<()> + Send + Sync + 'static,
{
    config.check()?;
    end_with_launcher();
    catch_panics();
    not_ready(config.ready_file.as_deref())?;
    let cluster = config.running_cluster();
    let writes = cluster.is_none_or(|cluster| cluster.process == 0);
    // Before anything that takes time, so that no signal is lost on a job that is about to begin.
    let asked = Asked::default();
    let signals = if config.signals { Some(Signals::to(&asked.stop, &asked.savepoint)?) } else { None };
    let archive = match &config.checkpoints {
        Some(settings) if config.explain.is_none() => Some(Archive::open(settings.clone(), writes)?),
        _ => None,
    };
    let workers = config.workers * cluster.map_or(1, Cluster::processes);
    let shared = Arc::new(Shared::new(workers, archive, asked));
    if let Some(path) = config.report.as_ref().filter(|_| writes) {
        Report::check(path)?;
    }
    let explainer = TimeExplainer { shared: Arc::clone(&shared), clock: config.clock.clone() };
    let watchdog = Watchdog::over(explainer).map_err(|error| Error::Start(error.to_string()))?;
    let began = Instant::now();
    let mesh = cluster.map(|cluster| Mesh::connect(cluster, &config, &shared)).transpose()?;
    let (builders, comms) = match (&mesh, config.workers) {
        (Some(mesh), _) => mesh.allocators()?,
        (None, 1) => timely::CommunicationConfig::Thread.try_build().map_err(Error::Start)?,
        (None, workers) => timely::CommunicationConfig::Process(workers).try_build().map_err(Error::Start)?,
    };
    let (all, settings, bus) = (Arc::clone(&shared), config.clone(), mesh.as_ref().map(|mesh| Arc::clone(mesh.bus())));
    let working = move |worker: &mut Worker| work(worker, &settings, &all, bus.as_deref(), &graph);
    let guards = timely::execute::execute_from(builders, comms, timely::WorkerConfig::default(), working);
    let guards = guards.map_err(Error::Start)?;
    match &mesh {
        Some(mesh) => mesh.join(guards),
        None => join(guards, &shared),
    }
    drop(watchdog);
    explain_time::ended(&shared);
    drop(signals);
    if let Some(error) = shared.failure() {
        return Err(error);
    }
    if let Some(drawing) = config.explain {
        println!("{}", shared.plan.lock().unwrap_or_else(PoisonError::into_inner).draw(drawing).trim_end());
        std::process::exit(0);
    }
    let mut report = Report::of(&shared, config.workers, began.elapsed());
    if let Some(mesh) = &mesh {
        report = mesh.conclude(report)?;
    }
    if writes {
        report.log();
    }
    if let Some(path) = config.report.as_ref().filter(|_| writes) {
        report.write(path)?;
    }
    Ok(report)
}

/// Waits for the workers' end.
fn join(guards: WorkerGuards<()>, shared: &Shared) {
    match catch_unwind(AssertUnwindSafe(|| guards.join())) {
        Ok(results) => results.into_iter().filter_map(Result::err).for_each(|reason| shared.fail(Error::Start(reason))),
        Err(_) => shared.fail(Error::Start("the workers' threads could not be joined".into())),
    }
}

/// How long a worker sleeps at most before it looks for signals and failures.
const NAP: Duration = Duration::from_millis(50);

/// One worker's life.
fn work<G>(worker: &mut Worker, config: &Config, shared: &Arc<Shared>, bus: Option<&Bus>, graph: &G)
where
    G: for<'s> Fn(&Job<'s>) -> Result<()>,
{
    let runtime = Runtime::new(config.clone(), worker.index(), worker.peers(), Arc::clone(shared));
    let built = guarded(&runtime, || {
        worker.dataflow::<Epoch, _, _>(|scope| {
            let job = Job::new(scope, Rc::clone(&runtime));
            graph(&job).and_then(|()| job.finish())
        })
    });
    if let Some(Err(error)) = built {
        shared.fail(error);
    }
    if config.explain.is_some() {
        if runtime.worker == 0 {
            *shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = runtime.plan.borrow().clone();
        }
        drop_dataflows(worker, &runtime);
        return;
    }
    if let Some(bus) = bus {
        // Workers of one process build the same; what differs comes from outside.
        if runtime.worker.is_multiple_of(config.workers) {
            bus.propose(runtime.fingerprint());
        }
        bus.agree();
    }
    if runtime.worker == 0 && !shared.failed() {
        let begun = || {
            if let Some(archive) = &shared.archive {
                archive.go_back()?;
            }
            if bus.is_none() { ready(config.ready_file.as_deref()) } else { Ok(()) }
        };
        begun().unwrap_or_else(|error| shared.fail(error));
    }
    let progress = Progress::new(&runtime);
    let mut chronicle = Chronicle::new(&runtime);
    let mut frontier = None;
    while worker.has_dataflows() && !shared.failed() {
        if guarded(&runtime, || worker.step_or_park(Some(NAP))).is_none() {
            break;
        }
        let now = runtime.probe.with_frontier(|f| f.first().copied());
        if frontier != Some(now) {
            frontier = Some(now);
            runtime.watch.borrow_mut().observe(&runtime.probe);
            runtime.wake();
        }
        if shared.stop.load(Ordering::Relaxed) || savepoint_asked(&runtime) {
            runtime.wake();
        }
        progress.show(&runtime);
        chronicle.write(&runtime);
    }
    progress.end();
    if runtime.worker == 0 {
        *shared.latency.lock().unwrap_or_else(PoisonError::into_inner) = runtime.watch.borrow().latency();
    }
    let counted = runtime.metrics.borrow();
    let counted = counted.iter().map(|m| OperatorReport {
        name: m.name.clone(),
        records_in: m.taken.get(),
        records_out: m.given.get(),
        late: m.late.get(),
        dead: m.dead.get(),
    });
    shared.operators.lock().unwrap_or_else(PoisonError::into_inner).extend(counted);
    if shared.failed() {
        drop_dataflows(worker, &runtime);
        ENDING.set(bus.is_some());
    }
}

/// Whether this worker is to have a savepoint made. Whoever asks where none can be had is told.
fn savepoint_asked(runtime: &Runtime) -> bool {
    let asked = &runtime.shared.savepoint;
    let first_of_process = runtime.worker.is_multiple_of(runtime.config.workers);
    if !first_of_process || !asked.load(Ordering::Relaxed) {
        return false;
    }
    if runtime.worker == 0 && runtime.checkpoints.is_some() {
        return true;
    }
    asked.store(false, Ordering::Relaxed);
    match runtime.checkpoints {
        Some(_) => tracing::warn!("a savepoint was asked of a process that makes none: send SIGUSR1 to process 0"),
        None => {
            tracing::warn!("a savepoint was asked for, and the job keeps no checkpoints: give it `--checkpoint-dir`")
        }
    }
    false
}

/// Drops operators before they are done; their destructors are user code again.
fn drop_dataflows(worker: &mut Worker, runtime: &Runtime) {
    guarded(runtime, || {
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
    });
}

thread_local! {
    /// What the last panic of this worker said, and in which operator; `None` on other threads.
    static PANIC: RefCell<Option<(String, Option<usize>)>> = const { RefCell::new(None) };
    static GUARDED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    /// What this worker says no longer matters: another process is gone, and timely's queues are broken.
    static ENDING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs code that may panic; a panic stops the job and gives `None`.
fn guarded<R>(runtime: &Runtime, code: impl FnOnce() -> R) -> Option<R> {
    GUARDED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(code));
    GUARDED.set(false);
    match outcome {
        Ok(result) => Some(result),
        Err(_) => {
            let (message, operator) = PANIC.take().unwrap_or_default();
            runtime.shared.fail(Error::Panic {
                operator: runtime.operator_name(operator),
                worker: runtime.worker,
                message,
            });
            None
        }
    }
}

/// Has panics of workers remembered instead of printed; those of other threads are left alone.
fn catch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // Timely's threads end so where a connection does; what happened is told as an error.
            let thread = std::thread::current();
            let expected =
                |name: &str| ["timely:send-", "timely:recv-", "timely:join"].iter().any(|of| name.starts_with(of));
            if thread.name().is_some_and(expected) || ENDING.get() {
                return tracing::debug!("{info}");
            }
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
            let text =
                text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no message)".into());
            if !GUARDED.get() {
                // Whoever read has gone, as `head` does: a program that prints for others ends then, and shells count 128 + SIGPIPE.
                if text.starts_with("failed printing to stdout") && text.ends_with("(os error 32)") {
                    std::process::exit(141);
                }
                return usual(info);
            }
            let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
            PANIC.set(Some((text + &place, timely::scheduling::current::operator_id())));
        }));
    });
}

/// The progress bar of bounded input, on worker 0 and on a terminal only.
struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(runtime: &Runtime) -> Self {
        let size = runtime.shared.size.load(Ordering::SeqCst);
        if runtime.worker != 0 || !runtime.config.progress || size == 0 {
            return Progress { bar: None };
        }
        let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}  {elapsed_precise}, {eta} left");
        let bar = ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress { bar: Some(bar) }
    }

    fn show(&self, runtime: &Runtime) {
        if let Some(bar) = &self.bar {
            let records = runtime.shared.all_records();
            bar.set_position(runtime.shared.bytes.load(Ordering::Relaxed));
            let rate = records as f64 / bar.elapsed().as_secs_f64().max(0.001);
            bar.set_message(format!("{records} records, {rate:.0}/s"));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
