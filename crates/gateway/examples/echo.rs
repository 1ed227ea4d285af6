//! A gateway to a model that says what it was told, for trying out a client:
//! `cargo run -p promptopt-gateway --example echo`, until standard input ends.

use std::sync::Arc;

use promptopt_core::lm::{Completion, FinishReason, LmReply, LmRequest, ToolCall, lm_fn};
use promptopt_core::money::Usage;
use promptopt_core::program::CallContext;
use promptopt_gateway::{Component, Gateway};
use tokio::io::AsyncReadExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let model = lm_fn("echo", |request: LmRequest| async move {
        let usage = Usage::call(7, 3);
        let text: Vec<String> = request
            .messages
            .iter()
            .map(|message| format!("{}: {}", message.role.as_str(), message.content))
            .collect();
        let has_result = request.messages.iter().any(|message| message.tool_call_id.is_some());
        if let (Some(tool), false) = (request.tools.first(), has_result) {
            let call = ToolCall::new("call_1", tool.name.clone(), r#"{"city":"Bonn"}"#);
            let asks =
                Completion::new("").with_tool_calls(vec![call]).with_finish_reason(FinishReason::ToolCalls);
            return Ok(LmReply::new(vec![asks], usage));
        }
        Ok(LmReply::text(text.join("\n"), usage))
    });
    let gateway = Gateway::start().await?;
    let component = Component::new("tone", "Be kind.");
    let session =
        gateway.open(CallContext::new(Arc::new(model)), [(component, Some("Be brief.".to_owned()))]);
    #[expect(clippy::print_stdout, reason = "it is what this example is for")]
    for (name, value) in session.variables() {
        println!("export {name}={value}");
    }
    let mut said = Vec::new();
    tokio::io::stdin().read_to_end(&mut said).await?;
    let ended = session.close().await;
    anyhow::ensure!(ended.failure.is_none(), "{ended:?}");
    eprintln!("{} calls; found {:?}; unknown {:?}", ended.calls, ended.found, ended.unknown);
    Ok(())
}
