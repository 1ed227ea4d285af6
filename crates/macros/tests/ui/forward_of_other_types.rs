//! A `forward` that borrows, and one that gives what serde does not write.


use promptopt_core::data::{Fields, Prediction};
use promptopt_core::program::CallContext;
use promptopt_predict::{Module, Predict};

#[derive(Module)]
struct Desk {
    #[predictor]
    route: Predict,
}

impl Desk {
    async fn forward(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        Ok(self.route.call(context, inputs).await?)
    }
}

struct Answer;

#[derive(Module)]
struct Other {
    #[predictor]
    route: Predict,
}

impl Other {
    async fn forward(&self, _: &CallContext, _: Fields) -> anyhow::Result<Answer> {
        Ok(Answer)
    }
}

fn main() {}
