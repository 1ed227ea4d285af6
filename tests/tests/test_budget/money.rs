//! Money needs prices.

use std::sync::Arc;

use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::lm::LanguageModel;
use promptopt_core::money::{Budget, Limit, Money, Price, Prices};
use promptopt_core::program::ModuleExt as _;
use promptopt_gepa::GEPA;
use promptopt_lm::ChatClient;
use promptopt_run::{Optimizer, StopReason};
use promptopt_testkit::{HiddenRules, toy};

use super::support::price;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn client(url: &str, model: &str) -> Arc<dyn LanguageModel> {
    Arc::new(ChatClient::builder().base_url(url).model(model).api_key("k").build().unwrap())
}

#[tokio::test]
async fn a_limit_of_money_with_an_unknown_price_refuses_to_start_and_says_how_to_give_it() {
    let task = HiddenRules::new(6, 5);
    let budget = Budget::default().with_money(money("$1"));
    let unknown = client("http://localhost:1/v1", "my-model");
    let optimizers: [Box<dyn Optimizer>; 4] = [
        Box::new(MIPROv2::builder().task_model(Arc::clone(&unknown)).budget(budget).build()),
        Box::new(MIPROv2::builder().prompt_model(Arc::clone(&unknown)).budget(budget).build()),
        Box::new(COPRO::builder().prompt_model(Arc::clone(&unknown)).budget(budget).build()),
        Box::new(GEPA::builder().prompt_model(unknown).budget(budget).build()),
    ];
    for optimizer in optimizers {
        let mut program =
            toy::answerer().with_model(Arc::new(task.model(5))).with_metric(toy::exact_answer());
        let error = optimizer.compile(&mut program, task.examples(60)).await.unwrap_err().to_string();
        for words in ["`budget`", "`localhost:1/v1 my-model`", "`prices`", "\"my-model\" = { prompt = "] {
            assert!(error.contains(words), "{error}");
        }
    }
}

#[test]
fn a_client_knows_the_price_at_the_providers_own_address() {
    let of =
        |url: &str, model: &str| client(url, model).profile().price.map(|price| price.completion.to_string());
    assert_eq!(of("https://api.openai.com/v1", "gpt-4o-mini").as_deref(), Some("$0.60"));
    assert_eq!(of("https://gateway.example.com/v1", "gpt-4o-mini"), None);
    assert_eq!(of("https://api.openai.com/v1", "no-such-model"), None);
}

#[tokio::test]
async fn both_models_are_paid_and_counted_apart() {
    let task = HiddenRules::new(6, 5);
    let dear = Price::new(money("$10"), money("$30"));
    let model: Arc<dyn LanguageModel> = Arc::new(task.model(5));
    let writer: Arc<dyn LanguageModel> = Arc::new(task.model(6));
    let prices = Prices::new().with(model.profile().id, price()).with(writer.profile().id, dear);
    let run = async |budget: Option<Budget>| {
        let optimizer = MIPROv2::builder()
            .task_model(Arc::clone(&model))
            .prompt_model(Arc::clone(&writer))
            .num_candidates(5)
            .num_trials(8)
            .prices(prices.clone())
            .maybe_budget(budget)
            .build();
        let mut program = toy::answerer().with_metric(toy::exact_answer());
        optimizer.compile(&mut program, task.examples(80)).await.unwrap()
    };
    let free = run(None).await;
    let (task_usage, prompt_usage) = (free.spending.task, free.spending.prompt);
    // Every call is rounded up to the billionth of a dollar.
    let close = |usage: promptopt_core::money::Usage, price: Price| {
        let whole = price.of(usage.prompt_tokens, usage.completion_tokens).as_nanos();
        let found = usage.money.unwrap().as_nanos();
        assert!((whole..=whole + usage.calls).contains(&found), "{found} for {whole}");
    };
    close(task_usage, price());
    close(prompt_usage, dear);
    let total = free.spending.total().money.unwrap();
    assert_eq!(total, task_usage.money.unwrap() + prompt_usage.money.unwrap());

    let limit = Money::from_nanos(total.as_nanos() / 2);
    let capped = run(Some(Budget::default().with_money(limit))).await;
    assert!(capped.spending.total().money.unwrap() <= limit);
    assert_eq!((capped.stop, capped.exhausted), (StopReason::Budget, Some(Limit::Money)));
}
