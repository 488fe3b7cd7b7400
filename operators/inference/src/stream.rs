//! `infer` on a stream: each event is scored once.

use crate::ask::ask;
use crate::infer::{Infer, ScoreOf};
use crate::model::Model;
use crate::pool::Pool;
use crate::score::Quantised;
use tidemill::{Data, DeadLetter, Result, Stream};

impl<'s, T: Data> Infer<'s> for Stream<'s, T> {
    type Item = T;
    type Scored<S: Quantised> = Stream<'s, (T, S)>;

    fn infer<M: Model>(
        self,
        name: &str,
        pool: &Pool<M>,
        features: impl Fn(&T) -> M::In + 'static,
    ) -> Result<Stream<'s, (T, ScoreOf<M>)>> {
        let operator = name.to_owned();
        ask(
            &self,
            name,
            pool,
            |_| true,
            features,
            move |event, score| match score {
                Ok(score) => Ok((event, score)),
                Err(why) => Err(DeadLetter::of(&operator, &event, why.to_string())),
            },
        )
    }
}
