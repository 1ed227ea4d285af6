//! A predictor that is none.


use promptopt_core::data::{Fields, Prediction};
use promptopt_core::program::CallContext;
use promptopt_predict::{Module, Predict};

#[derive(Module)]
struct Desk {
    #[predictor]
    route: Predict,
    #[predictor]
    name: String,
}

impl Desk {
    async fn forward(&self, context: &CallContext, inputs: Fields) -> anyhow::Result<Prediction> {
        Ok(self.route.call(context, &inputs).await?)
    }
}

fn main() {}
