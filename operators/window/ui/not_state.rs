use tidemill::{Context, Process, Reject};

#[derive(Clone, Default)]
struct Seen(u64);

struct Counts;

impl Process for Counts {
    type Key = u32;
    type In = u32;
    type Out = u64;
    type State = Seen;

    fn process(&self, _: &u32, _: u32, seen: &mut Seen, ctx: &mut Context<'_, u64>) -> Result<(), Reject> {
        seen.0 += 1;
        ctx.emit(seen.0);
        Ok(())
    }
}

fn main() {}
