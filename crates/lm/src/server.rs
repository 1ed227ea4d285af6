//! Who serves a model, as traces say it.

use promptopt_core::lm::ModelServer;

use crate::Provider;
use crate::endpoint::Endpoint;

/// Providers whose name for OpenTelemetry is not their prefix.
const OTHER_NAMES: [(&str, &str); 4] =
    [("gemini", "gcp.gemini"), ("mistral", "mistral_ai"), ("moonshot", "moonshot_ai"), ("xai", "x_ai")];

/// Ends of the names of servers that serve the models of many, and the provider.
const HOSTS: [(&str, &str); 5] = [
    (".openai.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("watsonx.ai", "ibm.watsonx.ai"),
];

/// Who serves a model at an address. A server that nobody knows is named by the dialect that is spoken to it, as the SDKs
/// do.
pub(crate) fn server(model: &str, endpoint: &Endpoint, dialect: &'static str) -> ModelServer {
    let host = endpoint.host();
    let is_at = |url: &str| Endpoint::parse(url).is_ok_and(|known| known.host() == host);
    // Other services of Amazon have the same ending.
    let is_bedrock = host.starts_with("bedrock") && host.ends_with(".amazonaws.com");
    let hosts = is_bedrock
        .then_some(&("bedrock", "aws.bedrock"))
        .into_iter()
        .chain(HOSTS.iter().filter(|(end, _)| host.ends_with(end)));
    let of_host = hosts.map(|(_, name)| *name).next();
    let of_table =
        || Provider::all().filter(|_| !endpoint.is_loopback()).find(|provider| is_at(provider.base_url()));
    let provider = of_host.unwrap_or_else(|| named(of_table().map_or(dialect, Provider::prefix)));
    ModelServer::new(model).with_provider(provider).with_address(
        host.trim_start_matches('[').trim_end_matches(']'),
        endpoint.url().port_or_known_default(),
    )
}

/// How OpenTelemetry names the provider of a prefix.
fn named(prefix: &'static str) -> &'static str {
    OTHER_NAMES.iter().find(|(known, _)| *known == prefix).map_or(prefix, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_address_and_else_by_its_dialect() {
        let check = |url: &str, dialect: &'static str, provider: &str, address: &str, port: u16| {
            let server = server("m", &Endpoint::parse(url).unwrap(), dialect);
            let expected = ModelServer::new("m").with_provider(provider).with_address(address, port);
            assert_eq!(server, expected, "{url}");
        };
        check("https://api.openai.com/v1", "openai", "openai", "api.openai.com", 443);
        check("https://api.mistral.ai/v1", "openai", "mistral_ai", "api.mistral.ai", 443);
        check(
            "https://ann:pass@x.openai.azure.com/v1?key=s",
            "openai",
            "azure.ai.openai",
            "x.openai.azure.com",
            443,
        );
        let bedrock = "bedrock-runtime.us-east-1.amazonaws.com";
        check(&format!("https://{bedrock}/v1"), "openai", "aws.bedrock", bedrock, 443);
        check("http://lb.elb.amazonaws.com/v1", "openai", "openai", "lb.elb.amazonaws.com", 80);
        check("http://localhost:11434", "ollama", "ollama", "localhost", 11434);
        check("http://[::1]:8000/v1", "openai", "openai", "::1", 8000);
        check("http://proxy.local/gemini", "gemini", "gcp.gemini", "proxy.local", 80);
    }
}
