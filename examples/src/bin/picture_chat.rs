//! A chat about pictures: an image and the turns before it go in. Both are fields like any other, so examples have them,
//! demos show them, and an optimizer works on them.
//!
//! Runs without a key on a stand-in that looks at the bytes of the last picture.
//!
//! `cargo run -p promptopt-examples --bin picture_chat`

use std::path::Path;

use promptopt::prelude::*;
use promptopt_examples::sealed_test;
use promptopt_testkit::LookingLm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
    Green,
    Blue,
}

/// Answer what the customer asks about the picture.
#[derive(Signature)]
struct Look {
    /// What was said before.
    #[input]
    chat: History,
    #[input]
    picture: Image,
    #[input]
    question: String,
    #[output]
    colour: Colour,
}

/// A row of the data file.
#[derive(Deserialize)]
struct Row {
    picture: String,
    colour: Colour,
}

/// The pictures of the data file, each in a chat.
fn examples() -> anyhow::Result<Vec<Example>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let rows = std::fs::read_to_string(folder.join("colours.jsonl"))?;
    let example = |row: &str| {
        let Row { picture, colour } = serde_json::from_str(row)?;
        let picture = Image::of_bytes("image/png", &std::fs::read(folder.join(picture))?);
        let chat = History::from_iter([
            Message::user("Can you tell colours?"),
            Message::assistant("Yes: red, green and blue. Show me a picture."),
        ]);
        Ok(Example::typed(Look { chat, picture, question: "Which one is this?".to_owned(), colour })?)
    };
    rows.lines().map(example).collect()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut examples = examples()?;
    let model: Arc<dyn LanguageModel> = Arc::new(LookingLm::new(["red", "green", "blue"], 1));
    let test: Vec<_> = examples.split_off(examples.len() * 2 / 3).into_iter().map(Arc::new).collect();

    let right = metric_typed(|expected: &LookOutput, given: &LookOutput| expected.colour == given.colour);
    let mut look = Predict::<Look>::typed("look").with_model(Arc::clone(&model)).with_metric(right);
    let optimizer = MIPROv2::builder().num_candidates(4).num_trials(8).minibatch_size(6).seed(1).build();
    let outcome = optimizer.compile(&mut look, examples).await?;
    sealed_test(&look, Arc::clone(&model), &outcome, &test).await?;

    // The chat goes on: what was asked and answered is the next history.
    let (asked, context) = (test[0].row::<Look>()?.into_parts().0, CallContext::new(model));
    let answered = look.module.call(&context, asked.clone()).await?;
    let chat = History::new().with_turn(&asked, &answered)?;
    let next =
        LookInput { chat, question: "And this one?".to_owned(), ..test[1].row::<Look>()?.into_parts().0 };
    println!("{:?}, then {:?}", answered.colour, look.module.call(&context, next).await?.colour);
    Ok(())
}
