//! What comes next in a sequence of items: SASRec (Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018),
//! trained with cross-entropy over the whole catalogue, a sample of it, or a few others.

use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Reduction, Tensor};

use crate::network::to_vec;
use crate::networks::sasrec::SasRecLayers;
use crate::networks::{Mode, Weights};
use crate::saved::{self, ANY_SEED};
use crate::train::Schedule;
use crate::{Error, Random};

/// What stands in `NAME.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// How many items there are; they are the numbers from 1 on.
    pub items: usize,
    /// Width of an item's embedding.
    pub width: usize,
    /// Attention heads, which divide the width.
    pub heads: usize,
    /// Blocks of attention and feed-forward layers.
    pub blocks: usize,
    /// Width between the two feed-forward layers.
    pub feed_forward: usize,
    /// The last items of a history that are looked at, at most.
    pub length: usize,
    /// What share of numbers training sets to 0.
    pub dropout: f64,
    /// With one, embeddings have length 1 and an item's score is its cosine divided by this, which leaves popular items no
    /// advantage from longer ones (NISER: Gupta et al., "Normalized Item and Session Representations to Handle Popularity
    /// Bias", 2019). Without, its inner product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// A history's embeddings are multiplied by the square root of the width before their places are added (Vaswani et al. 2017,
    /// 3.4): what an item says outweighs where it stands from the start, and is learnt in fewer passes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scaled: bool,
    /// Whatever is worth knowing of the training. Never read here.
    #[serde(default)]
    pub training: Value,
}

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Passes over the sequences.
    pub epochs: usize,
    /// Sequences a step.
    pub batch: usize,
    /// Adam's step size at the start.
    pub learning_rate: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// Adam's weight decay, decoupled from the step (AdamW).
    pub weight_decay: f64,
    /// What each item is told from.
    pub beside: Beside,
    /// Draws the order of sequences, what dropout drops, and negatives.
    pub seed: u64,
}

/// Which items a step's cross-entropy is over, beside the one that came next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beside {
    /// The whole catalogue, which costs in proportion to it.
    Catalogue,
    /// So many drawn for each batch, all equally likely, which stand for the catalogue (sampled softmax: Jean, Cho, Memisevic
    /// and Bengio, "On Using Very Large Target Vocabulary for Neural Machine Translation", ACL 2015).
    Sample(NonZeroUsize),
    /// So many drawn likewise, which stand for themselves (InfoNCE: van den Oord, Li and Vinyals, "Representation Learning with
    /// Contrastive Predictive Coding", 2018): what is to be told from a few others, as in evaluation beside 100, need not
    /// be told from the few that are nearest to it.
    Few(NonZeroUsize),
}

/// What the items' embeddings are called among the weights.
pub(crate) const EMBEDDINGS: &str = "items";

/// Scores of a history's steps over the catalogue that are there at once in training, at most: 16 MB of them.
const SCORES_AT_ONCE: usize = 4 << 20;

/// Items of the catalogue, and histories, whose scores are there at once where only the best are asked for: at most 8 MB.
const ITEMS_AT_ONCE: usize = 65_536;
const ROWS_AT_ONCE: usize = 32;

/// Batches among which sequences are parted by their lengths.
const PARTED: usize = 32;

/// Batches in a new order, each of sequences of about the same length, for the longest of a batch says how much it costs.
fn batches<'a, 'b>(order: &'b mut [&'a [u32]], size: usize, random: &mut Random) -> Vec<&'b [&'a [u32]]> {
    random.shuffle(order);
    order.chunks_mut(size * PARTED).for_each(|some| some.sort_by_key(|items| items.len()));
    let mut batches: Vec<_> = order.chunks(size).collect();
    random.shuffle(&mut batches);
    batches
}

/// Scores of which only the greatest is looked at first.
const GROUP: i64 = 64;

/// For each column of `scores`, `[count, rows]`, the places `[rows, some]` among which those of its `k` greatest are: these are
/// in the `k` groups with the greatest maxima, which cost far less to find.
fn candidates(scores: &Tensor, k: i64) -> Result<Tensor, Error> {
    let (count, rows) = scores.size2()?;
    let groups = count / GROUP;
    let places = Tensor::f_arange(count, (Kind::Int64, scores.device()))?;
    if groups <= k {
        return Ok(places.f_expand([rows, count], false)?);
    }
    let maxima = scores.f_narrow(0, 0, GROUP * groups)?.f_view([groups, GROUP, rows])?.f_amax([1i64], false)?;
    let (_, best) = maxima.f_transpose(0, 1)?.f_topk(k, -1, true, false)?;
    let members = (best.f_unsqueeze(-1)? * GROUP + places.f_narrow(0, 0, GROUP)?).f_view([rows, GROUP * k])?;
    let rest = places.f_narrow(0, GROUP * groups, count - GROUP * groups)?;
    Ok(Tensor::f_cat(&[members, rest.f_expand([rows, -1], false)?], 1)?)
}

/// A network that says what comes next. It belongs to one thread at a time.
pub struct SasRec {
    description: Description,
    store: nn::VarStore,
    layers: SasRecLayers,
}

impl SasRec {
    /// A network with first weights drawn from `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Description`] if the description cannot be; libtorch's own where memory ends.
    pub fn new(description: Description, seed: u64) -> Result<Self, Error> {
        let Description { items, width, heads, blocks, feed_forward, length, dropout, temperature, .. } = description;
        let sizes = [items, width, heads, blocks, feed_forward, length];
        if sizes.contains(&0) || sizes.iter().any(|size| *size > 100_000_000) || !width.is_multiple_of(heads) {
            return Err(Error::Description(format!("no network has these sizes: {description:?}")));
        }
        if let Some(temperature) = temperature.filter(|temperature| !(1e-3..=1e3).contains(temperature)) {
            return Err(Error::Description(format!("`temperature` is {temperature}: choose from 0.001 to 1000")));
        }
        if !(0.0..1.0).contains(&dropout) {
            return Err(Error::Description(format!("`dropout` is {dropout}: choose from 0 to below 1")));
        }
        let store = nn::VarStore::new(Device::Cpu);
        let mut random = Random::new(seed);
        let layers = SasRecLayers::new(Weights { path: store.root(), random: &mut random }, &description)?;
        Ok(Self { description, store, layers })
    }

    /// All that is known of it but the weights.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Trains on sequences of items, from 1 to the description's number: each item is to be told from those before it. After
    /// each epoch `goes_on` is shown its number, the mean loss in nats, and the network, and says whether to go on.
    ///
    /// # Errors
    ///
    /// [`Error::Dataset`] if an item is none, or no sequence has two; [`Error::Diverged`] if the loss is no number.
    pub fn train(
        &mut self,
        sequences: &[Vec<u32>],
        options: &Options,
        mut goes_on: impl FnMut(usize, f32, &Self) -> bool,
    ) -> Result<(), Error> {
        sequences.iter().try_for_each(|items| self.check(items))?;
        let mut order: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).filter(|items| items.len() > 1).collect();
        if order.is_empty() || options.batch == 0 {
            let (sequences, batch) = (order.len(), options.batch);
            return Err(Error::Dataset(format!("{sequences} sequences of two items, in batches of {batch}")));
        }
        self.description.training = json!({ "sequences": order.len(), "options": options });
        let mut random = Random::new(options.seed);
        let mut optimizer =
            nn::AdamW { wd: options.weight_decay, ..nn::AdamW::default() }.build(&self.store, options.learning_rate)?;
        for epoch in 0..options.epochs {
            let (mut total, mut steps) = (0.0, 0);
            let batches = batches(&mut order, options.batch, &mut random);
            for (nth, batch) in batches.iter().enumerate() {
                let done = (epoch as f64 + nth as f64 / batches.len() as f64) / options.epochs as f64;
                optimizer.set_lr(options.learning_rate * options.schedule.share(done));
                let known: Vec<&[u32]> = batch.iter().map(|items| &items[..items.len() - 1]).collect();
                let next: Vec<&[u32]> = batch.iter().map(|items| &items[1..]).collect();
                let (histories, next) = (self.table(&known)?, self.table(&next)?.view([-1]));
                // Only steps that have an item next: most sequences are far shorter than the longest.
                let real = next.nonzero().view([-1]);
                optimizer.zero_grad();
                let lead = self.layers.lead(&histories, None, &mut Mode::Train(&mut random));
                let lead = lead.view([-1, self.description.width as i64]).index_select(0, &real);
                let targets = next.index_select(0, &real);
                let stands_for = |drawn: NonZeroUsize| self.description.items as f64 / drawn.get() as f64;
                total += match options.beside {
                    Beside::Catalogue => self.learn(&lead, &(targets - 1))?,
                    Beside::Sample(drawn) => {
                        self.learn_beside(&lead, &targets, drawn, stands_for(drawn), &mut random)?
                    }
                    Beside::Few(drawn) => self.learn_beside(&lead, &targets, drawn, 1.0, &mut random)?,
                };
                optimizer.step();
                self.layers.changed();
                steps += real.numel();
            }
            let mean = (total / steps as f64) as f32;
            if !mean.is_finite() {
                return Err(Error::Diverged { epoch, loss: mean });
            }
            if !goes_on(epoch, mean, self) {
                break;
            }
        }
        Ok(())
    }

    /// Adds the gradients of the mean cross-entropy of `targets`, over the whole catalogue, after what leads to them. Gives
    /// the sum of it in nats.
    ///
    /// A few rows of scores at a time, and back from these at once: what is as long as the catalogue then stays where the
    /// processor is fast, and its memory is used again. All of them together took three times as long.
    fn learn(&self, lead: &Tensor, targets: &Tensor) -> Result<f64, Error> {
        let (count, mut total) = (targets.size()[0], 0.0);
        let rows = (SCORES_AT_ONCE / self.description.items).max(1) as i64;
        let leaf = lead.detach().set_requires_grad(true);
        for first in (0..count).step_by(rows as usize) {
            let some = rows.min(count - first);
            let (scores, targets) = (self.layers.scores(&leaf.narrow(0, first, some)), targets.narrow(0, first, some));
            let loss = scores.f_cross_entropy_loss::<Tensor>(&targets, None, Reduction::Sum, -100, 0.0)?;
            total += loss.f_double_value(&[])?;
            (loss / count as f64).f_backward()?;
        }
        (lead * leaf.grad()).f_sum(Kind::Float)?.f_backward()?;
        Ok(total)
    }

    /// The same beside items that are drawn, each of which stands for so many; none where it is the target.
    fn learn_beside(
        &self,
        lead: &Tensor,
        targets: &Tensor,
        drawn: NonZeroUsize,
        stands_for: f64,
        random: &mut Random,
    ) -> Result<f64, Error> {
        let items = self.description.items;
        let drawn: Vec<i64> = (0..drawn.get()).map(|_| random.below(items) as i64 + 1).collect();
        let drawn = Tensor::f_from_slice(&drawn)?;
        let right = self.layers.scores_each(lead, targets).f_unsqueeze(1)?;
        let others = self.layers.scores_among(lead, &drawn) + stands_for.ln();
        let others = others.f_masked_fill(&drawn.f_eq_tensor(&targets.f_unsqueeze(1)?)?, f64::NEG_INFINITY)?;
        let scores = Tensor::f_cat(&[right, others], 1)?;
        let first = Tensor::f_zeros_like(targets)?;
        let loss = scores.f_cross_entropy_loss::<Tensor>(&first, None, Reduction::Mean, -100, 0.0)?;
        loss.f_backward()?;
        Ok(loss.f_double_value(&[])? * targets.size()[0] as f64)
    }

    /// The scores of all items, `items` of them a history, for what comes after each.
    ///
    /// # Errors
    ///
    /// [`Error::Dataset`] if an item is none, or a history is empty.
    pub fn scores(&self, histories: &[&[u32]]) -> Result<Vec<f32>, Error> {
        tch::no_grad(|| to_vec(&self.layers.scores(&self.last(histories)?)))
    }

    /// The `k` items with the greatest scores after each history, best first; none that the history has. There are fewer where the
    /// catalogue has no more.
    ///
    /// # Errors
    ///
    /// As for [`SasRec::scores`].
    pub fn top(&self, histories: &[&[u32]], k: usize) -> Result<Vec<Vec<(u32, f32)>>, Error> {
        let k = k.min(self.description.items);
        if k == 0 || histories.is_empty() {
            return Ok(histories.iter().map(|_| Vec::new()).collect());
        }
        tch::no_grad(|| {
            let mut tops = Vec::with_capacity(histories.len());
            let leads = self.last(histories)?.f_split(ROWS_AT_ONCE as i64, 0)?;
            for (lead, histories) in leads.iter().zip(histories.chunks(ROWS_AT_ONCE)) {
                tops.extend(self.top_of(lead, histories, k)?);
            }
            Ok(tops)
        })
    }

    /// The same after what these lead to, `[rows, width]`.
    fn top_of(&self, lead: &Tensor, histories: &[&[u32]], k: usize) -> Result<Vec<Vec<(u32, f32)>>, Error> {
        let (mut scores, mut items) = (Vec::new(), Vec::new());
        for first in (0..self.description.items).step_by(ITEMS_AT_ONCE) {
            let here = first + 1..first + 1 + ITEMS_AT_ONCE;
            let mut had: [Vec<i64>; 2] = Default::default();
            for (row, history) in (0..).zip(histories) {
                for item in history.iter().map(|item| *item as usize).filter(|item| here.contains(item)) {
                    had[0].push((item - here.start) as i64);
                    had[1].push(row);
                }
            }
            let mut some = self.layers.scores_of(lead, first as i64, ITEMS_AT_ONCE as i64);
            if !had[0].is_empty() {
                let [places, rows] = had.map(|numbers| Some(Tensor::from_slice(&numbers)));
                let _ = some.f_index_put_(&[places, rows], &Tensor::from(f32::NEG_INFINITY), false)?;
            }
            let places = candidates(&some, k as i64)?;
            scores.push(some.f_transpose(0, 1)?.f_gather(1, &places, false)?);
            items.push(places + (first as i64 + 1));
        }
        // The best of the best.
        let (scores, places) = Tensor::f_cat(&scores, 1)?.f_topk(k as i64, -1, true, true)?;
        let items = Tensor::f_cat(&items, 1)?.f_gather(1, &places, false)?;
        let (scores, mut numbers) = (to_vec(&scores)?, vec![0i64; items.numel()]);
        items.f_contiguous()?.f_copy_data(&mut numbers, items.numel())?;
        let best = numbers.into_iter().map(|item| item as u32).zip(scores).collect::<Vec<_>>();
        let new = |best: &[(u32, f32)]| best.iter().copied().filter(|of| of.1 > f32::NEG_INFINITY).collect();
        Ok(best.chunks(k).map(new).collect())
    }

    /// What each history leads to, `[rows, width]`.
    fn last(&self, histories: &[&[u32]]) -> Result<Tensor, Error> {
        histories.iter().try_for_each(|items| self.check(items))?;
        if histories.iter().any(|items| items.is_empty()) {
            return Err(Error::Dataset("a history without items".into()));
        }
        let length = self.description.length;
        let last: Vec<i64> = histories.iter().map(|items| items.len().min(length) as i64 - 1).collect();
        let lead = self.layers.lead(&self.table(histories)?, Some(&Tensor::f_from_slice(&last)?), &mut Mode::Score);
        Ok(lead.f_squeeze_dim(1)?)
    }

    /// The last items of each list as a table `[rows, steps]`, from the left on.
    fn table(&self, lists: &[&[u32]]) -> Result<Tensor, Error> {
        let last = |items: &&[u32]| items.len().min(self.description.length);
        let steps = lists.iter().map(last).max().unwrap_or(0);
        let mut table = vec![0i64; lists.len() * steps];
        for (row, items) in table.chunks_mut(steps.max(1)).zip(lists) {
            let items = &items[items.len() - last(items)..];
            row.iter_mut().zip(items).for_each(|(cell, item)| *cell = i64::from(*item));
        }
        Ok(Tensor::f_from_slice(&table)?.f_view([lists.len() as i64, steps as i64])?)
    }

    fn check(&self, items: &[u32]) -> Result<(), Error> {
        match items.iter().find(|item| **item == 0 || **item as usize > self.description.items) {
            Some(item) => Err(Error::Dataset(format!(
                "item {item} of {}: they are the numbers from 1 on",
                self.description.items
            ))),
            None => Ok(()),
        }
    }

    /// Writes `NAME.json` and `NAME.safetensors` for a path that ends in `NAME`, and makes its folder. A catalogue's weights are
    /// many: all are written as 16-bit numbers, rounded to 11 binary digits, and embeddings of which only the direction counts
    /// (with a temperature) as 8-bit ones, of which an embedding's greatest is 127.
    ///
    /// # Errors
    ///
    /// [`Error::Write`], with the file; [`Error::TensorNotFinite`] for a weight above 65,504, which 16 bits have no number for.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let of_direction = self.description.temperature.is_some();
        saved::write(path.as_ref(), &self.description, &self.store, |name, tensor| {
            tch::no_grad(|| match of_direction && name == EMBEDDINGS {
                false => {
                    let half = tensor.f_to_kind(Kind::Half)?;
                    match half.f_isfinite()?.f_all()?.f_int64_value(&[])? {
                        0 => Err(Error::TensorNotFinite { path: path.as_ref().to_owned(), name: name.to_owned() }),
                        _ => Ok(half),
                    }
                }
                true => {
                    let greatest = tensor.f_abs()?.f_amax([-1i64], true)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
                    Ok(tensor.f_div(&greatest)?.f_mul_scalar(127.0)?.f_round()?.f_to_kind(Kind::Int8)?)
                }
            })
        })
    }

    /// Reads what [`SasRec::save`] wrote.
    ///
    /// # Errors
    ///
    /// Which file is missing or wrong, and which tensor in it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let mut network = Self::new(saved::read_description(path.as_ref())?, ANY_SEED)?;
        let of_direction = network.description.temperature.is_some();
        saved::read_weights(path.as_ref(), &network.store, |name| of_direction && name == EMBEDDINGS)?;
        if of_direction {
            network.layers.normalise()?;
        }
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        let sizes = (12, 16, 2);
        Description {
            items: sizes.0,
            width: sizes.1,
            heads: sizes.2,
            blocks: 2,
            feed_forward: 32,
            length: 6,
            dropout: 0.1,
            temperature: None,
            scaled: false,
            training: Value::Null,
        }
    }

    #[test]
    fn it_learns_what_follows_what_two_steps_before() {
        crate::one_thread_each();
        // An item is followed by the one after the one before it: 1 5 2 6 3 7 …
        let sequences: Vec<Vec<u32>> =
            (0..60).map(|n| (0..8u32).map(|step| (n * 5 % 12 + step / 2 + step % 2 * 4) % 12 + 1).collect()).collect();
        let six = NonZeroUsize::new(6).unwrap();
        for (beside, temperature, scaled) in [
            (Beside::Catalogue, None, false),
            (Beside::Sample(six), None, false),
            (Beside::Few(six), None, false),
            (Beside::Few(six), None, true),
            (Beside::Catalogue, Some(0.1), false),
            (Beside::Sample(six), Some(0.1), false),
        ] {
            let mut network = SasRec::new(Description { temperature, scaled, ..description() }, 1).unwrap();
            let schedule = Schedule::Cosine;
            let options =
                Options { epochs: 60, batch: 20, learning_rate: 0.01, schedule, weight_decay: 0.0, beside, seed: 3 };
            let mut losses = Vec::new();
            network
                .train(&sequences, &options, |_, loss, network| {
                    // What is asked between epochs is answered by the weights of then, and what is asked later by those of later.
                    network.top(&[&sequences[0]], 1).unwrap();
                    losses.push(loss);
                    losses.len() < 60
                })
                .unwrap();
            assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
            let right =
                sequences.iter().filter(|items| network.top(&[&items[..7]], 1).unwrap()[0][0].0 == items[7]).count();
            assert!(right > 54, "{right} beside {beside:?} at {temperature:?}, {scaled}");
        }
    }

    #[test]
    fn items_that_are_drawn_stand_for_all() {
        let network = SasRec::new(description(), 1).unwrap();
        let lead = tch::no_grad(|| network.last(&[&[1, 2, 3], &[4]]).unwrap()).set_requires_grad(true);
        let targets = Tensor::from_slice(&[5i64, 12]);
        let whole = network.learn(&lead, &(&targets - 1)).unwrap();
        let (drawn, mut random) = (NonZeroUsize::new(100_000).unwrap(), Random::new(2));
        let sampled = network.learn_beside(&lead, &targets, drawn, 12.0 / 100_000.0, &mut random).unwrap();
        assert!((whole - sampled).abs() < 0.01, "{whole} {sampled}");
    }

    #[test]
    fn a_step_sees_nothing_behind_it_and_nobody_else() {
        let network = SasRec::new(description(), 1).unwrap();
        let histories: [&[u32]; 3] = [&[1, 2, 3], &[4], &[5, 6, 7, 8, 9, 10, 11, 12]];
        let together = network.scores(&histories).unwrap();
        for (history, scores) in histories.iter().zip(together.chunks(12)) {
            let alone = network.scores(&[history]).unwrap();
            assert!(alone.iter().zip(scores).all(|(a, b)| (a - b).abs() < 1e-5), "{history:?}");
        }
        // In training each step has the answer that it has as the last one.
        let table = network.table(&[&[1, 2, 3]]).unwrap();
        let steps = network.layers.lead(&table, None, &mut Mode::Score);
        for step in 0..3 {
            let lead = network.last(&[&[1, 2, 3][..step + 1]]).unwrap();
            let difference = (steps.select(1, step as i64) - lead).abs().max().double_value(&[]);
            assert!(difference < 1e-5, "{step}: {difference}");
        }
    }

    #[test]
    fn the_best_of_a_large_catalogue_are_the_best_of_all_scores() {
        // More than are scored at once, of items as of histories, and a number of both that nothing divides.
        let items = ITEMS_AT_ONCE + 4_441;
        let network = SasRec::new(Description { items, ..description() }, 5).unwrap();
        let histories: Vec<[u32; 2]> = (0..ROWS_AT_ONCE as u32 + 3).map(|user| [items as u32 - user, 9_000]).collect();
        let histories: Vec<&[u32]> = histories.iter().map(|items| &items[..]).collect();
        let scores = network.scores(&histories).unwrap();
        let tops = network.top(&histories, 30).unwrap();
        for ((top, scores), history) in tops.into_iter().zip(scores.chunks(items)).zip(histories) {
            let mut all: Vec<(u32, f32)> = (1..).zip(scores.iter().copied()).collect();
            all.retain(|(item, _)| !history.contains(item));
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            assert!(top.iter().zip(&all).all(|(a, b)| (a.1 - b.1).abs() < 1e-6), "{top:?} {:?}", &all[..30]);
            assert!(top.iter().all(|(item, score)| (scores[*item as usize - 1] - score).abs() < 1e-6));
        }
    }

    #[test]
    fn what_a_history_has_takes_nobody_s_place() {
        let network = SasRec::new(description(), 5).unwrap();
        let (most, other): (Vec<u32>, [u32; 2]) = ((3..=12).collect(), [4, 5]);
        let tops = network.top(&[&most, &other], 5).unwrap();
        let items = |row: usize| tops[row].iter().map(|(item, _)| *item).collect::<Vec<_>>();
        let mut left = items(0);
        left.sort();
        assert_eq!((left, items(1).len()), (vec![1, 2], 5));
        assert!(!items(1).contains(&4) && !items(1).contains(&5));
    }

    #[test]
    fn a_saved_network_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        for (temperature, scaled, tolerance) in [(None, false, 5e-3), (None, true, 5e-3), (Some(1.0), false, 1e-2)] {
            let network = SasRec::new(Description { temperature, scaled, ..description() }, 7).unwrap();
            network.save(folder.path().join("next")).unwrap();
            let loaded = SasRec::load(folder.path().join("next")).unwrap();
            assert_eq!(loaded.description(), network.description());
            let (before, after) = (network.scores(&[&[3, 4]]).unwrap(), loaded.scores(&[&[3, 4]]).unwrap());
            let same = |(before, after): (&f32, &f32)| (before - after).abs() < tolerance;
            assert!(before.iter().zip(&after).all(same), "{before:?} {after:?}");
            loaded.save(folder.path().join("again")).unwrap();
            let again = SasRec::load(folder.path().join("again")).unwrap();
            assert_eq!(again.scores(&[&[3, 4]]).unwrap(), after, "what was rounded once stays");
        }
    }

    #[test]
    fn scaled_is_as_if_the_embeddings_that_enter_were_longer() {
        let scores = |network: &SasRec| network.scores(&[&[3, 1, 4]]).unwrap();
        let scaled = scores(&SasRec::new(Description { scaled: true, ..description() }, 1).unwrap());
        let network = SasRec::new(description(), 1).unwrap();
        let before = scores(&network);
        let root = 4.0; // of the width, 16
        let _longer =
            tch::no_grad(|| network.store.variables()[EMBEDDINGS].shallow_clone().f_mul_scalar_(root).unwrap());
        let after = scores(&network);
        let same = |(scaled, after): (&f32, &f32)| (scaled * root as f32 - after).abs() < 1e-4;
        assert!(scaled.iter().zip(&after).all(same), "{scaled:?} {after:?}");
        assert!(scaled.iter().zip(&before).any(|(scaled, before)| (scaled - before).abs() > 1e-3));
    }

    #[test]
    fn numbers_of_8_bits_are_read_only_where_the_direction_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("next");
        SasRec::new(Description { temperature: Some(0.1), ..description() }, 7).unwrap().save(&path).unwrap();
        SasRec::load(&path).unwrap();
        std::fs::write(folder.path().join("next.json"), serde_json::to_string(&description()).unwrap()).unwrap();
        assert!(matches!(SasRec::load(&path), Err(Error::TensorKind { name, .. }) if name == EMBEDDINGS));
    }

    #[test]
    fn what_16_bits_have_no_number_for_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let network = SasRec::new(description(), 7).unwrap();
        let _filled = tch::no_grad(|| network.store.variables()[EMBEDDINGS].shallow_clone().fill_(70_000.0));
        assert!(matches!(network.save(folder.path().join("next")), Err(Error::TensorNotFinite { .. })));
        assert!(!folder.path().join("next.safetensors").exists());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |change: fn(&mut Description)| {
            let mut description = description();
            change(&mut description);
            SasRec::new(description, 1).err().unwrap().to_string()
        };
        assert!(refused(|of| of.heads = 3).contains("no network has these sizes"));
        assert!(refused(|of| of.dropout = 1.0).contains("dropout"));
        assert!(refused(|of| of.temperature = Some(0.0)).contains("temperature"));
        let network = SasRec::new(description(), 1).unwrap();
        assert!(network.scores(&[&[13]]).unwrap_err().to_string().contains("item 13 of 12"));
        assert!(network.scores(&[&[]]).unwrap_err().to_string().contains("without items"));
    }
}
