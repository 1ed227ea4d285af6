//! What a service needs of an optimized prompt, over a socket: core, predictors and a client.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use promptopt_core::program::{CallContext, ModuleExt as _};
use promptopt_lm::ChatClient;
use promptopt_predict::{Predict, Signature};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Department {
    Billing,
    Shipping,
}

/// Route the ticket.
#[derive(Signature)]
struct Route {
    #[input]
    ticket: String,
    #[output]
    department: Department,
}

/// A provider that answers one request, and gives it to the caller.
fn provider(listener: TcpListener) -> std::io::Result<String> {
    let (mut stream, _) = listener.accept()?;
    let (mut asked, mut buffer) = (String::new(), [0; 65536]);
    while !asked.contains("lost the lamp") {
        let read = stream.read(&mut buffer)?;
        asked.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    let content = "[[ ## department ## ]]\nshipping\n\n[[ ## completed ## ]]";
    let body = serde_json::json!({
        "model": "m", "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9}
    });
    let body = body.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
    write!(stream, "{head}: {}\r\n\r\n{body}", body.len())?;
    Ok(asked)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let provider = std::thread::spawn(|| provider(listener));

    let prompts = r#"{"route": {"instruction": "Route it as the house does.", "demos": []}}"#;
    let mut route = Predict::<Route>::typed("route");
    route.install(&serde_json::from_str(prompts)?)?;
    let model = ChatClient::builder().model("m").base_url(url).api_key("none").build()?;
    let input = RouteInput { ticket: "The courier lost the lamp.".to_owned() };
    let given = route.call(&CallContext::new(Arc::new(model)), input).await?;

    anyhow::ensure!(given.department == Department::Shipping, "{given:?}");
    let asked = provider.join().map_err(|_| anyhow::anyhow!("the provider ended"))??;
    anyhow::ensure!(asked.contains("Route it as the house does."), "{asked}");
    Ok(())
}
