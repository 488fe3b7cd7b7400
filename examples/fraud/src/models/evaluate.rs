//! All models on all folds, on several threads, and what they reach together.

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use tidemill_torch::{Error, one_thread_each};

use super::{Spec, Table, logits, train};
use crate::metrics::{Metrics, Scored, Summary};
use crate::protocol::Fold;

/// What a model reached.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// As it stands in the table.
    pub name: &'static str,
    /// How many inputs it saw of each payment; of an ensemble, the most of its members.
    pub inputs: usize,
    /// Its metrics on each fold.
    pub folds: Vec<Metrics>,
    /// Their mean and deviation.
    pub summary: Summary,
    /// How long the training for one fold took on average, on one thread; of an ensemble, of all its members.
    pub training: Duration,
}

/// Models whose logits are averaged.
#[derive(Clone, Copy, Debug)]
pub struct Ensemble<'a> {
    /// As it stands in the table.
    pub name: &'static str,
    /// The names of its members, and how many networks of each there are, which differ in their seeds.
    pub members: &'a [(&'static str, u64)],
}

/// One network to be trained: which model, with which seed, on which fold.
type Job = (usize, u64, usize);

/// The logits of a network for the test payments of its fold, and how long its training took.
type Done = HashMap<Job, (Vec<f32>, Duration)>;

/// Trains every model of `specs` on every fold and judges it on the fold's test week, then the ensemble, whose
/// members are all among `specs`. A model's own row is that of one network, with seed 0.
///
/// Every one of the `threads` trains a network at a time; the results do not depend on their number. `note` is told
/// of each network: the model's name, and how many of how many are done.
///
/// # Errors
///
/// The first that a training ends with.
pub fn evaluate(
    table: &Table<'_>,
    specs: &[Spec],
    ensemble: &Ensemble<'_>,
    folds: &[Fold],
    threads: usize,
    note: impl Fn(&str, usize, usize) + Sync,
) -> Result<Vec<Outcome>, Error> {
    let seeds =
        |spec: &Spec| ensemble.members.iter().find(|(name, _)| *name == spec.name).map_or(1, |(_, seeds)| *seeds);
    let jobs: Vec<Job> = (specs.iter().enumerate())
        .flat_map(|(spec, settings)| (0..seeds(settings)).map(move |seed| (spec, seed)))
        .flat_map(|(spec, seed)| (0..folds.len()).map(move |fold| (spec, seed, fold)))
        .collect();
    let tests: Vec<Vec<usize>> = folds.iter().map(|fold| fold.test(table.payments())).collect();
    let waiting = Mutex::new(jobs.iter());
    let done: Mutex<Result<Done, Error>> = Mutex::new(Ok(Done::new()));

    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                one_thread_each();
                loop {
                    // Taken out first: in the head of a loop the lock would be held while training.
                    let next = lock(&waiting).next();
                    let Some(&(spec, seed, fold)) = next else { break };
                    let start = Instant::now();
                    let network = train(table, &specs[spec], folds[fold].train_days(), seed);
                    let took = start.elapsed();
                    let scored = network.and_then(|network| logits(table, &network, &tests[fold]));
                    let mut done = lock(&done);
                    match (&mut *done, scored) {
                        (Ok(done), Ok(logits)) => {
                            done.insert((spec, seed, fold), (logits, took));
                            note(specs[spec].name, done.len(), jobs.len());
                        }
                        (Ok(_), Err(error)) => *done = Err(error),
                        (Err(_), _) => {}
                    }
                    if done.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;

    let judge = |name, members: &[usize], seeds: &dyn Fn(&Spec) -> u64| {
        let mut training = Duration::ZERO;
        let metrics = |(fold, places): (usize, &Vec<usize>)| {
            let mut sums = vec![0.0; places.len()];
            for &spec in members {
                for seed in 0..seeds(&specs[spec]) {
                    let (logits, took) = &done[&(spec, seed, fold)];
                    sums.iter_mut().zip(logits).for_each(|(sum, logit)| *sum += f64::from(*logit));
                    training += *took;
                }
            }
            judge(table, places, &sums)
        };
        let folds: Vec<Metrics> = tests.iter().enumerate().map(metrics).collect();
        Outcome {
            name,
            inputs: members.iter().map(|&spec| specs[spec].inputs.count()).max().unwrap_or(0),
            summary: Summary::of(&folds),
            training: training / folds.len().max(1) as u32,
            folds,
        }
    };
    let mut outcomes: Vec<Outcome> =
        specs.iter().enumerate().map(|(spec, settings)| judge(settings.name, &[spec], &|_| 1)).collect();
    let is_member = |spec: &usize| ensemble.members.iter().any(|(name, _)| *name == specs[*spec].name);
    let members: Vec<usize> = (0..specs.len()).filter(is_member).collect();
    outcomes.push(judge(ensemble.name, &members, &seeds));
    Ok(outcomes)
}

/// The metrics of one fold's test payments.
fn judge(table: &Table<'_>, places: &[usize], scores: &[f64]) -> Metrics {
    let scored = places.iter().zip(scores).map(|(&place, &score)| {
        let payment = &table.payments()[place];
        Scored { day: payment.day(), customer: payment.customer, score, fraud: payment.fraud }
    });
    Metrics::of(&scored.collect::<Vec<_>>())
}

/// A thread that panicked has the whole program stopped at the end of the scope, so the lock can be taken as it is.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::specs;
    use crate::{batch, generate::BENCHMARK};

    #[test]
    fn quick_models_on_an_early_fold() {
        let fold = Fold::new(16);
        let rows = BENCHMARK.partition_point(|row| row.day() < fold.test_days().end);
        let table = Table::new(&BENCHMARK[..rows], &batch::features(&BENCHMARK[..rows])).unwrap();
        let specs: Vec<Spec> = specs().into_iter().filter(|spec| spec.name.starts_with("logistic")).collect();
        let both = Ensemble { name: "both", members: &[("logistic_15", 1), ("logistic", 2)] };
        let run = |threads| evaluate(&table, &specs, &both, &[fold], threads, |_, _, of| assert_eq!(of, 3)).unwrap();
        let [one, two] = [run(1), run(2)];
        let aps: Vec<f64> = one.iter().map(|outcome| outcome.summary.ap).collect();
        assert_eq!(aps, two.iter().map(|outcome| outcome.summary.ap).collect::<Vec<_>>());
        assert_eq!(one.iter().map(|outcome| outcome.name).collect::<Vec<_>>(), ["logistic_15", "logistic", "both"]);
        assert_eq!(one.iter().map(|outcome| outcome.inputs).collect::<Vec<_>>(), [15, 24, 24]);
        assert!(aps.iter().all(|ap| *ap > 0.4), "{aps:?}");
    }
}
