//! What spans say, and who their parents are: over the loopback socket, as an exporter gets them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints know tests inside a crate, not files of tests"
)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::trace::{SpanKind, Status, TracerProvider as _};
use opentelemetry::{Array, Value};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use promptopt_core::data::{Example, Fields};
use promptopt_core::lm::{
    Completion, FinishReason, LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile, Role,
    Sampling, ToolCall, lm_fn,
};
use promptopt_core::money::{Price, Usage};
use promptopt_core::program::{CallContext, ModuleExt as _, metric_fn};
use promptopt_core::secret::Redactor;
use promptopt_core::signature::Signature;
use promptopt_core::telemetry::capture_content;
use promptopt_lm::ChatClient;
use promptopt_otel::{Otlp, with_lists};
use promptopt_predict::{Agent, Predict, tool_fn};
use promptopt_run::{Event, Observer as _, RolloutJob, RolloutRunner, TracingObserver};
use promptopt_testkit::{LoopbackServer, ScriptedLm};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

/// What is told of content holds for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The spans of some work, as an exporter gets them.
struct Spans(Vec<SpanData>);

impl Spans {
    fn named(&self, name: &str) -> &SpanData {
        let names: Vec<_> = self.0.iter().map(|span| &span.name).collect();
        self.0.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no `{name}` in {names:?}"))
    }

    fn text(&self, span: &str, attribute: &str) -> Option<String> {
        value(self.named(span), attribute).map(|value| value.as_str().into_owned())
    }

    /// The names of a span and of those that it is in, from within.
    fn path(&self, name: &str) -> Vec<String> {
        let (mut path, mut span) = (vec![name.to_owned()], self.named(name));
        while let Some(parent) =
            self.0.iter().find(|parent| parent.span_context.span_id() == span.parent_span_id)
        {
            path.push(parent.name.to_string());
            span = parent;
        }
        path
    }
}

fn value<'s>(span: &'s SpanData, attribute: &str) -> Option<&'s Value> {
    span.attributes.iter().find(|pair| pair.key.as_str() == attribute).map(|pair| &pair.value)
}

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does work on one thread, and gives its spans.
fn spans_of<T>(work: impl Future<Output = T>) -> (T, Spans) {
    let memory = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(with_lists(memory.clone())).build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("test"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    let result = tracing::subscriber::with_default(subscriber, || runtime.block_on(work));
    (result, Spans(memory.get_finished_spans().unwrap()))
}

fn answer(text: &str) -> String {
    format!("[[ ## answer ## ]]\n{text}\n\n[[ ## completed ## ]]")
}

fn question(text: &str) -> Fields {
    Fields::from_iter([("question".to_owned(), text.into())])
}

fn predictor() -> Predict {
    let sampling = Sampling::default().with_temperature(0.5).with_stop(vec!["\n\n\n".into()]);
    Predict::new("answer", Signature::parse("question -> answer").unwrap()).with_sampling(sampling)
}

#[test]
fn a_call_says_what_the_conventions_ask_for_in_the_span_of_the_request() {
    let _alone = alone();
    let (port, spans) = spans_of(async {
        let request = async {
            let usage = Usage::call(40, 7).with_cached(32).with_reasoning(5);
            let model = lm_fn("m", move |_: LmRequest| async move {
                let mut reply = LmReply::text(answer("4"), usage);
                (reply.id, reply.model) = (Some("r-1".into()), Some("tiny-2".into()));
                Ok(reply)
            });
            let server = LoopbackServer::start(Arc::new(model), Duration::ZERO, None).await.unwrap();
            let client = ChatClient::builder().model("tiny").base_url(server.base_url()).build().unwrap();
            let context = CallContext::new(Arc::new(client));
            predictor().call(&context, &question("2 + 2?")).await.unwrap();
            server.base_url().rsplit_once(':').unwrap().1.trim_end_matches("/v1").to_owned()
        };
        request.instrument(tracing::info_span!("POST /answer")).await
    });
    assert_eq!(spans.path("chat tiny"), ["chat tiny", "predict answer", "POST /answer"]);
    let chat = spans.named("chat tiny");
    assert_eq!((&chat.span_kind, &chat.status), (&SpanKind::Client, &Status::Unset));
    let mut told: Vec<_> =
        chat.attributes.iter().map(|pair| (pair.key.as_str(), pair.value.clone())).collect();
    told.sort_by_key(|(name, _)| *name);
    let list = |text: &str| Value::Array(Array::String(vec![text.to_owned().into()]));
    assert_eq!(
        told,
        [
            ("gen_ai.operation.name", "chat".into()),
            ("gen_ai.provider.name", "openai".into()),
            ("gen_ai.request.model", "tiny".into()),
            ("gen_ai.request.stop_sequences", list("\n\n\n")),
            ("gen_ai.request.temperature", 0.5.into()),
            ("gen_ai.response.finish_reasons", list("stop")),
            ("gen_ai.response.id", "r-1".into()),
            ("gen_ai.response.model", "tiny-2".into()),
            ("gen_ai.usage.cache_read.input_tokens", 32.into()),
            ("gen_ai.usage.input_tokens", 40.into()),
            ("gen_ai.usage.output_tokens", 7.into()),
            ("gen_ai.usage.reasoning.output_tokens", 5.into()),
            ("server.address", "127.0.0.1".into()),
            ("server.port", port.parse::<i64>().unwrap().into()),
        ]
    );
}

#[test]
fn a_failed_call_says_how_and_so_does_its_predictor() {
    let _alone = alone();
    let refuse = |_: LmRequest| async {
        Err::<LmReply, _>(LmError::Unauthorized { status: 401, message: "no key".into() })
    };
    let (_, spans) = spans_of(async {
        let context = CallContext::new(Arc::new(lm_fn("m", refuse)));
        predictor().call(&context, &question("2 + 2?")).await.unwrap_err();
    });
    for (name, kind) in [("chat m", "401"), ("predict answer", "model")] {
        assert_eq!(spans.text(name, "error.type").as_deref(), Some(kind));
        assert!(matches!(spans.named(name).status, Status::Error { .. }));
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Search {
    query: String,
}

fn agent() -> (Agent, Arc<dyn LanguageModel>) {
    let model = lm_fn("scripted", |request: LmRequest| async move {
        if request.messages.last().is_some_and(|message| message.role == Role::Tool) {
            return Ok(LmReply::text(answer("green"), Usage::call(9, 9)));
        }
        let call = ToolCall::new("call_7", "search", r#"{"query": "tea", "api_key": "hunter2-canary"}"#);
        let calls = Completion::new("").with_tool_calls(vec![call]);
        Ok(LmReply::new(vec![calls.with_finish_reason(FinishReason::ToolCalls)], Usage::call(9, 9)))
    });
    let search = tool_fn("search", "Searches.", |search: Search| {
        let found = async move { Ok(format!("3 leaves of {} and sk-Ab12Cd34Ef56Gh78Ij90", search.query)) };
        found.instrument(tracing::info_span!("SELECT leaves"))
    });
    let agent = Agent::new("desk", Signature::parse("question -> answer").unwrap()).with_tool(search);
    (agent, Arc::new(model))
}

#[test]
fn spans_of_a_tool_are_in_its_call_and_nothing_is_told_of_what_was_said() {
    let _alone = alone();
    let (_, spans) = spans_of(async {
        let (agent, model) = agent();
        agent.call(&CallContext::new(model), &question("which tea?")).await.unwrap();
    });
    assert_eq!(spans.path("SELECT leaves"), ["SELECT leaves", "execute_tool search", "invoke_agent desk"]);
    assert_eq!(spans.path("chat scripted"), ["chat scripted", "invoke_agent desk"]);
    let tool = spans.named("execute_tool search");
    assert_eq!(value(tool, "gen_ai.tool.call.id").unwrap().as_str(), "call_7");
    assert_eq!(spans.0.iter().filter(|span| span.name == "chat scripted").count(), 2);
    let all = format!("{:?}", spans.0);
    for word in ["which tea", "leaves of", "green", "query"] {
        assert!(!all.contains(word), "{word}");
    }
}

#[test]
fn what_was_said_is_told_where_that_is_wanted_without_secrets() {
    let _alone = alone();
    capture_content(Redactor::new(["which-secret".into()]));
    let (_, spans) = spans_of(async {
        let (agent, model) = agent();
        agent.call(&CallContext::new(model), &question("which tea? which-secret")).await.unwrap();
    });
    capture_content(None);
    let said = |span: &str, attribute: &str| -> serde_json::Value {
        serde_json::from_str(&spans.text(span, attribute).unwrap()).unwrap()
    };
    let arguments = said("execute_tool search", "gen_ai.tool.call.arguments");
    assert_eq!(arguments, serde_json::json!({"query": "tea", "api_key": "[redacted]"}));
    let result = spans.text("execute_tool search", "gen_ai.tool.call.result").unwrap();
    assert_eq!(result, "3 leaves of tea and [redacted]");
    let first = said("chat scripted", "gen_ai.output.messages");
    assert_eq!(first[0]["parts"][0]["type"], "tool_call");
    assert_eq!(first[0]["finish_reason"], "tool_call");
    assert_eq!(said("chat scripted", "gen_ai.input.messages")[0]["role"], "system");
    assert!(spans.text("invoke_agent desk", "promptopt.outputs").unwrap().contains("green"));
    let all = format!("{:?}", spans.0);
    assert!(
        all.contains("which tea? [redacted]") && !all.contains("canary") && !all.contains("which-secret")
    );
}

#[test]
fn a_system_message_is_told_apart_for_providers_that_take_it_apart() {
    let _alone = alone();
    capture_content(Redactor::default());
    let server = promptopt_core::lm::ModelServer::new("tiny").with_provider("anthropic");
    let profile = ModelProfile::new("m").with_server(server);
    let model = lm_fn(profile, |_: LmRequest| async { Ok(LmReply::text("hi", Usage::call(1, 1))) });
    let (_, spans) = spans_of(async {
        let request = LmRequest::new(vec![Message::system("Be kind."), Message::user("Hello")]);
        CallContext::new(Arc::new(model)).complete(request).await.unwrap();
    });
    capture_content(None);
    let told = |attribute| spans.text("chat tiny", attribute).unwrap();
    assert_eq!(told("gen_ai.system_instructions"), r#"[{"type":"text","content":"Be kind."}]"#);
    let hello = r#"[{"role":"user","parts":[{"type":"text","content":"Hello"}]}]"#;
    assert_eq!(told("gen_ai.input.messages"), hello);
}

#[test]
fn rollouts_at_once_are_in_their_stage_and_keep_their_calls_apart() {
    let _alone = alone();
    let model = lm_fn(ModelProfile::new("m").with_price(Price::FREE), |request: LmRequest| async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let says = request.messages.last().map_or("", |message| message.text()).contains("row 3");
        Ok(LmReply::text(if says { "nothing to read".to_owned() } else { answer("4") }, Usage::call(9, 1)))
    });
    let (score, spans) = spans_of(async {
        let program = predictor().with_json_retry(false).with_metric(metric_fn(|_: &Example, _: &_| true));
        let observer = Arc::new(TracingObserver::new("route"));
        observer.observe(&Event::Stage { name: "baseline".into(), detail: "8 rows".into() });
        let runner = RolloutRunner::new(&program, Arc::new(model)).observer(observer);
        let job = |row: usize| {
            let example =
                Example::new([("question", format!("row {row}")), ("answer", "4".into())], ["question"]);
            RolloutJob::new(Arc::default(), Arc::new(example))
        };
        let jobs: Vec<_> = (0..8).map(job).collect();
        runner.run(&jobs).await.unwrap().iter().filter_map(|trace| trace.score_value()).sum::<f64>()
    });
    assert_eq!(score, 7.0);
    let path = ["chat m", "predict answer", "rollout answer", "stage baseline", "optimization route"];
    assert_eq!(spans.path("chat m"), path);
    let of = |name: &str| spans.0.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let parents: std::collections::HashSet<_> = of("chat m").iter().map(|chat| chat.parent_span_id).collect();
    assert_eq!(parents.len(), 8, "each call is in a predictor of its own");
    let rollouts = of("rollout answer");
    let scored = rollouts.iter().filter(|one| value(one, "promptopt.score") == Some(&1.0.into())).count();
    let failed: Vec<_> = rollouts.iter().filter_map(|one| value(one, "error.type")).collect();
    assert_eq!((scored, failed), (7, vec![&"reply".into()]));
}

#[test]
fn a_call_by_a_client_of_ones_own_is_a_span_around_what_that_client_does() {
    let _alone = alone();
    let (_, spans) = spans_of(async {
        let context = CallContext::new(Arc::new(ScriptedLm::answering("unused")));
        let request = serde_json::json!({"model": "gpt-x", "temperature": 0.25, "max_completion_tokens": 9});
        let call = async {
            async {}.instrument(tracing::info_span!("POST")).await;
            Ok((serde_json::json!({"id": "r-1", "model": "gpt-x-1"}), Usage::call(3, 2)))
        };
        context.metered("openai/gpt-x", &request, call).await.unwrap();
        context
            .metered("openai/gpt-x", "again", async {
                anyhow::Result::<((), _)>::Err(anyhow::anyhow!("broke"))
            })
            .await
            .unwrap_err();
    });
    assert_eq!(spans.path("POST"), ["POST", "chat gpt-x"]);
    let told = |attribute: &str| spans.text("chat gpt-x", attribute).unwrap_or_default();
    assert_eq!((told("gen_ai.response.id"), told("gen_ai.response.model")), ("r-1".into(), "gpt-x-1".into()));
    let number = |attribute: &str| value(spans.named("chat gpt-x"), attribute);
    assert_eq!(number("gen_ai.request.max_tokens"), Some(&Value::I64(9)));
    assert_eq!(number("gen_ai.usage.input_tokens"), Some(&Value::I64(3)));
    assert_eq!(spans.text("chat openai/gpt-x", "error.type").as_deref(), Some("call"));
}

#[test]
fn a_receiver_that_is_not_there_or_never_answers_costs_a_moment_at_the_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [gone, silent.local_addr().unwrap()] {
        let url = format!("http://user:canary-pass@{address}");
        let (layer, sending) = Otlp::new("desk").with_endpoint(url).layer().unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || drop(tracing::info_span!("work")));
        let delivery = sending.finish();
        assert_eq!((delivery.sent, delivery.lost), (0, 1));
        assert!(!delivery.error.unwrap().contains("canary"));
    }
}
