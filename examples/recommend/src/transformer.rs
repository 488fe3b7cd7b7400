//! A Transformer trained on histories: training, and what the graph asks of it.

use crate::graph::Rows;
use crate::protocol::{Event, Protocol, Question};
use anyhow::{Context, bail, ensure};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;
use tidemill::{Config, Seq, Timing, Update, execute};
use tidemill_recommend::{LastItems, Scores, Session};
use tidemill_torch::Random;
use tidemill_torch::sasrec::{Beside, Description, Options, SasRec};
use tidemill_torch::train::Schedule;

/// How to train.
#[derive(clap::Args, Clone, Debug)]
pub struct Settings {
    /// Passes over the histories at most; the best by the last item of each history, which is held back, is kept.
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub epochs: usize,
    /// Passes without a better one after which training ends.
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub patience: usize,
    /// Histories a step.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub batch: usize,
    /// Width of an item's embedding.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub width: usize,
    /// Blocks of attention.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub blocks: usize,
    /// Attention heads.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub heads: usize,
    /// The last items of a history that are looked at.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub length: usize,
    /// What share of numbers training sets to 0.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    pub dropout: f64,
    /// Adam's step size.
    #[arg(long, value_name = "STEP", default_value_t = 1e-3)]
    pub learning_rate: f64,
    /// The step size goes down to 0 at the last epoch, along half a cosine.
    #[arg(long)]
    pub cosine: bool,
    /// Adam's weight decay.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub weight_decay: f64,
    /// Items that each step draws to stand for the whole catalogue in its cross-entropy: a large catalogue is learnt many times
    /// as fast. Without, the whole catalogue.
    #[arg(long, value_name = "N")]
    pub negatives: Option<NonZeroUsize>,
    /// What is drawn stands for itself only, and the network is judged beside as many: for lists that are ranked among a few.
    #[arg(long, requires = "negatives")]
    pub few: bool,
    /// Scores are cosines divided by this, and not inner products: popular items have less of an advantage then.
    #[arg(long, value_name = "T")]
    pub temperature: Option<f64>,
    /// Embeddings are multiplied by the square root of their width before their places in the history are added.
    #[arg(long)]
    pub scaled: bool,
    /// Nothing is held back, so nothing tells which epoch was the best, and the last is kept: see without this how many it
    /// takes. `recommend train` trains on what teaches the blend, too, and calls the network DATA-all then. Where there is one,
    /// `evaluate` asks it what counts, and DATA only what teaches the blend, which must be new to whoever is asked.
    #[arg(long)]
    pub all: bool,
    /// Draws first weights, order, dropout and negatives.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            epochs: 60,
            patience: 6,
            batch: 128,
            width: 64,
            blocks: 2,
            heads: 2,
            length: 50,
            dropout: 0.5,
            learning_rate: 1e-3,
            cosine: false,
            weight_decay: 0.0,
            negatives: None,
            few: false,
            temperature: None,
            scaled: false,
            all: false,
            seed: 1,
        }
    }
}

impl Settings {
    fn beside(&self) -> Beside {
        match self.negatives {
            None => Beside::Catalogue,
            Some(drawn) if self.few => Beside::Few(drawn),
            Some(drawn) => Beside::Sample(drawn),
        }
    }
}

/// A network with the items it knows.
pub struct Transformer {
    network: SasRec,
    /// Of the network's numbers, from 1 on.
    items: Vec<u32>,
    numbers: BTreeMap<u32, u32>,
}

/// What is added to the name of a network that was trained on everything.
pub const ALL: &str = "-all";

/// Whether [`train_on`] has written a network there.
pub fn is_there(folder: &Path, data: &str) -> bool {
    folder.join(format!("{data}.json")).exists()
}

/// Histories whose last item tells how good the network is.
const JUDGED: usize = 4_000;

/// Questions the network is asked at once.
const AT_ONCE: usize = 128;

impl Transformer {
    fn new(network: SasRec, items: Vec<u32>) -> Self {
        let numbers = (1..).zip(&items).map(|(number, item)| (*item, number)).collect();
        Transformer { network, items, numbers }
    }

    /// One that has learnt nothing, for the items of some histories.
    fn untrained(histories: &[Vec<u32>], settings: &Settings) -> anyhow::Result<Self> {
        let mut items: Vec<u32> = histories.iter().flatten().copied().collect();
        items.sort_unstable();
        items.dedup();
        let description = Description {
            items: items.len(),
            width: settings.width,
            heads: settings.heads,
            blocks: settings.blocks,
            feed_forward: 4 * settings.width,
            length: settings.length,
            dropout: settings.dropout,
            temperature: settings.temperature,
            scaled: settings.scaled,
            training: serde_json::Value::Null,
        };
        Ok(Transformer::new(SasRec::new(description, settings.seed)?, items))
    }

    /// Reads what [`train`] wrote for a data set.
    pub fn load(folder: &Path, data: &str) -> anyhow::Result<Self> {
        let network = SasRec::load(folder.join(data))?;
        let file = folder.join(format!("{data}.items"));
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let items: Result<Vec<u32>, _> = text.split_whitespace().map(str::parse).collect();
        let (items, known) =
            (items.with_context(|| format!("{}: not numbers", file.display()))?, network.description().items);
        if items.len() != known {
            bail!("{} names {} items, and the network knows {known}: train it again", file.display(), items.len());
        }
        Ok(Transformer::new(network, items))
    }

    /// The network's numbers of a history's items; it has none for items that came after its training.
    fn known(&self, history: &[u32]) -> Vec<u32> {
        history.iter().filter_map(|item| self.numbers.get(item).copied()).collect()
    }

    /// The scores of all items after each history, as probabilities; none after a history of unknown items.
    pub fn scores(&self, histories: &[&[u32]]) -> anyhow::Result<Vec<Scores<u32>>> {
        let known: Vec<Vec<u32>> = histories.iter().map(|history| self.known(history)).collect();
        let asked: Vec<&[u32]> = known.iter().map(Vec::as_slice).filter(|history| !history.is_empty()).collect();
        if asked.is_empty() {
            return Ok(known.iter().map(|_| Scores::new(Vec::new())).collect());
        }
        let logits = self.network.scores(&asked)?;
        let mut rows = logits.chunks(self.items.len());
        let scores = |history: &Vec<u32>| match history.is_empty() {
            true => Scores::new(Vec::new()),
            false => Scores::new(rows.next().map_or_else(Vec::new, |row| self.probabilities(row))),
        };
        Ok(known.iter().map(scores).collect())
    }

    /// The `n` likeliest items after each history that are not in it, with the logarithms of how likely they are beside the first;
    /// none after a history of unknown items.
    pub fn top(&self, histories: &[Vec<u64>], n: usize) -> anyhow::Result<Vec<Vec<(u64, f64)>>> {
        let known = |history: &Vec<u64>| {
            let numbers = history.iter().filter_map(|item| self.numbers.get(&u32::try_from(*item).ok()?));
            numbers.copied().collect::<Vec<u32>>()
        };
        let known: Vec<Vec<u32>> = histories.iter().map(known).collect();
        let asked: Vec<&[u32]> = known.iter().map(Vec::as_slice).filter(|history| !history.is_empty()).collect();
        let mut tops = self.network.top(&asked, n)?.into_iter();
        let named = |top: Vec<(u32, f32)>| {
            let best = top.first().map_or(0.0, |(_, score)| *score);
            let item =
                |(number, score): (u32, f32)| (u64::from(self.items[number as usize - 1]), f64::from(score - best));
            top.into_iter().map(item).collect()
        };
        let answer = |known: &Vec<u32>| if known.is_empty() { None } else { tops.next() };
        Ok(known.iter().map(answer).map(|top| top.map_or_else(Vec::new, named)).collect())
    }

    fn probabilities(&self, logits: &[f32]) -> Vec<(u32, f64)> {
        let most = logits.iter().copied().fold(f32::MIN, f32::max);
        let powers: Vec<f64> = logits.iter().map(|logit| f64::from(logit - most).exp()).collect();
        let total: f64 = powers.iter().sum();
        self.items.iter().zip(powers).map(|(item, power)| (*item, power / total)).collect()
    }
}

/// Trains on the histories that a protocol's events make, and writes the network that told best what came last in some of
/// them, which it was not shown; or, with [`Settings::all`], that which was shown all but what is asked in the end, as
/// `DATA-all`.
pub fn train(protocol: &Protocol, settings: &Settings, folder: &Path) -> anyhow::Result<()> {
    let histories = histories(protocol, settings.all)?.into_values().collect();
    let all = format!("{}{ALL}", protocol.data);
    if settings.all {
        return train_on(&all, histories, settings, folder);
    }
    train_on(protocol.data, histories, settings, folder)?;
    if is_there(folder, &all) {
        println!(
            "{0}/{all} is older, and is still asked what counts: train it again with --all, or delete {0}/{all}.json",
            folder.display()
        );
    }
    Ok(())
}

/// What a network is trained on, as the graph keeps it: of each owner all that is not asked; what is asked in order to learn how to
/// blend only if `all` is to be known, for it must be as new to the network that is asked it as what is asked in the end.
pub(crate) fn histories(protocol: &Protocol, all: bool) -> tidemill::Result<BTreeMap<u32, Vec<u32>>> {
    let mut touches: BTreeMap<u32, Vec<Event>> = BTreeMap::new();
    let mut teaching = BTreeSet::new();
    for step in &protocol.steps {
        teaching.extend(step.questions.iter().filter(|question| question.teaches).map(|question| question.owner));
        // Where such a question comes after all events, it is new anyway.
        for event in step.events.iter().filter(|event| all || !teaching.contains(&event.owner)) {
            touches.entry(event.owner).or_default().push(*event);
        }
    }
    let teach = protocol.steps.iter().flat_map(|step| &step.questions).filter(|question| all && question.teaches);
    for (number, Question { owner, history, target, .. }) in (0..).zip(teach) {
        let known = touches.entry(*owner).or_default();
        if known.len() <= history.len() {
            let (time, seq) = (known.last().map_or(0, |touch| touch.time), Seq::new(1, number));
            let more: Vec<u32> = history.iter().skip(known.len()).chain([target]).copied().collect();
            let touch = |(nth, item)| Event { owner: *owner, time, seq: seq.child(nth), item };
            known.extend(more.into_iter().enumerate().map(touch));
        }
    }
    let (touches, rows) = (tidemill::Events::new(touches.into_values().flatten().collect()), Rows::default());
    let to_rows = rows.clone();
    let done = execute(Config::workers(1), move |job| {
        let touches = job.source("touches", touches.clone(), Timing::by(|touch: &Event| touch.time))?;
        let touches = touches.map(|row| Update { row, diff: 1 }).key_by(|touch| touch.row.owner);
        touches.maintain("histories", LastItems::new(usize::MAX))?.sink("rows", to_rows.clone())
    })?;
    done.finished()?;
    Ok(rows.take().into_keys().map(|Session { session, items, .. }| (session, items)).collect())
}

/// The same for any histories, which are called `data`.
pub fn train_on(data: &str, histories: Vec<Vec<u32>>, settings: &Settings, folder: &Path) -> anyhow::Result<()> {
    ensure!(settings.epochs > 0, "0 epochs teach nothing: say --epochs 1 at least");
    ensure!(
        histories.iter().any(|history| history.len() > 1),
        "{data}: none of {} histories has two items, so there is nothing to learn: is it the right file, and are its times \
         milliseconds?",
        histories.len()
    );
    let options = Options {
        epochs: settings.epochs,
        batch: settings.batch,
        learning_rate: settings.learning_rate,
        schedule: if settings.cosine { Schedule::Cosine } else { Schedule::Constant },
        weight_decay: settings.weight_decay,
        beside: settings.beside(),
        seed: settings.seed,
    };
    let Transformer { mut network, items, numbers } = Transformer::untrained(&histories, settings)?;
    let known = |history: &Vec<u32>| history.iter().filter_map(|item| numbers.get(item).copied()).collect();
    let mut shown: Vec<Vec<u32>> = histories.iter().map(known).collect();
    let mut held: Vec<(Vec<u32>, u32)> = Vec::new();
    let every = (shown.len() / JUDGED).max(1);
    for history in shown.iter_mut().step_by(every).filter(|history| !settings.all && history.len() > 2) {
        if let Some(last) = history.pop() {
            held.push((history.clone(), last));
        }
    }
    println!("{}: {} histories of {} items, {} held back", data, shown.len(), items.len(), held.len());
    let (began, unfinished) = (Instant::now(), format!("{data}-unfinished"));
    let names: Vec<String> = items.iter().map(u32::to_string).collect();
    let file = folder.join(format!("{unfinished}.items"));
    let (mut best, mut since, mut epochs) = (None, 0, 0);
    let mut failure = None;
    network.train(&shown, &options, |epoch, loss, network| {
        epochs = epoch + 1;
        let judged = if held.is_empty() { Ok(None) } else { judge(network, &held, options.beside).map(Some) };
        let saved = judged.and_then(|found| {
            // Where nothing tells which is the best, it is the last.
            if found.is_none() || found > best {
                (best, since) = (found, 0);
                network.save(folder.join(&unfinished))?;
                std::fs::write(&file, names.join("\n") + "\n")
                    .with_context(|| format!("cannot write {}", file.display()))?;
            } else {
                since += 1;
            }
            let found = found.map_or_else(String::new, |found| format!(", ndcg@10 {found:.4}"));
            println!("epoch {epoch}: loss {loss:.4}{found}, {:.0} s", began.elapsed().as_secs_f64());
            Ok(())
        });
        saved.map_err(|error| failure = Some(error)).is_ok() && since < settings.patience
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    // Nobody takes a network without its description for one, so an older one's goes first, and this one's comes last.
    let older = folder.join(format!("{data}.json"));
    if older.exists() {
        std::fs::remove_file(&older).with_context(|| format!("cannot replace {}", older.display()))?;
    }
    for end in ["items", "safetensors", "json"] {
        let (from, to) = (folder.join(format!("{unfinished}.{end}")), folder.join(format!("{data}.{end}")));
        std::fs::rename(&from, &to).with_context(|| format!("cannot make {} {}", from.display(), to.display()))?;
    }
    let judged = best.map_or_else(
        || format!("nothing held back, {epochs} epochs"),
        |best| format!("ndcg@10 {best:.4} on what was held back"),
    );
    println!("{data}: {judged}; {}/{data}.safetensors", folder.display());
    Ok(())
}

/// NDCG@10 of what was held back: among all items, or beside as few as it was told from.
fn judge(network: &SasRec, held: &[(Vec<u32>, u32)], beside: Beside) -> anyhow::Result<f64> {
    let (mut gain, mut random) = (0.0, Random::new(0));
    for held in held.chunks(AT_ONCE) {
        let histories: Vec<&[u32]> = held.iter().map(|(history, _)| history.as_slice()).collect();
        let places: Vec<Option<usize>> = match beside {
            Beside::Few(drawn) => {
                let (scores, items) = (network.scores(&histories)?, network.description().items);
                let place = |(scores, (_, last)): (&[f32], &(Vec<u32>, u32))| {
                    let own = scores[*last as usize - 1];
                    let others =
                        (0..drawn.get()).map(|_| random.below(items)).filter(|item| item + 1 != *last as usize);
                    Some(others.filter(|item| scores[*item].partial_cmp(&own) != Some(Ordering::Less)).count())
                };
                scores.chunks(items).zip(held).map(place).collect()
            }
            Beside::Catalogue | Beside::Sample(_) => {
                let tops = network.top(&histories, 10)?;
                let place = |(top, (_, last)): (Vec<(u32, f32)>, &(Vec<u32>, u32))| {
                    top.iter().position(|(item, _)| item == last)
                };
                tops.into_iter().zip(held).map(place).collect()
            }
        };
        gain += places
            .into_iter()
            .flatten()
            .filter(|place| *place < 10)
            .map(|place| 1.0 / (place as f64 + 2.0).log2())
            .sum::<f64>();
    }
    Ok(gain / held.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_nothing_back_is_trained_on_all_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { epochs: 2, width: 4, heads: 1, blocks: 1, all: true, ..Settings::default() };
        train_on("few", vec![vec![1, 2, 3]; 8], &settings, folder.path()).unwrap();
        assert!(is_there(folder.path(), "few") && !is_there(folder.path(), "few-unfinished"));
        let Transformer { network, items, .. } = Transformer::load(folder.path(), "few").unwrap();
        assert_eq!((items, &network.description().training["sequences"]), (vec![1, 2, 3], &8.into()));
    }

    #[test]
    fn where_nothing_is_held_back_the_last_epoch_counts() {
        let folder = tempfile::tempdir().unwrap();
        let trained = |epochs| {
            let settings =
                Settings { epochs, patience: 1, width: 4, heads: 1, blocks: 1, all: true, ..Settings::default() };
            train_on("few", vec![vec![1, 2, 3]; 8], &settings, folder.path()).unwrap();
            std::fs::read(folder.path().join("few.safetensors")).unwrap()
        };
        let [one, two, three] = [1, 2, 3].map(trained);
        assert!(one != two && two != three, "the same steps give the same weights, and more of them others");
        assert!(trained(3) == three);
    }
}
