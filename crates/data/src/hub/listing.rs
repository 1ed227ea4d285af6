//! What a revision of a data set holds, and which commit it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HubError;
use super::cache::{self, Cache};
use super::client::{Client, Failure, Refusal};

/// The branch on which the hub keeps its conversion of a data set to Parquet.
pub(crate) const CONVERTED: &str = "refs/convert/parquet";

/// A commit with its files and the configurations that its card states.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Listing {
    /// The commit.
    pub(crate) commit: String,
    /// The paths of its files.
    pub(crate) files: Vec<String>,
    /// `configs` of the card, or null.
    pub(crate) configs: Value,
}

/// The listing of a revision: from the cache where the revision is a commit or no network may be
/// used, else from the hub. `None` where the data set is there but has no such revision.
pub(crate) fn listing(
    client: &Client,
    cache: &Cache,
    repo: &str,
    revision: &str,
    offline: bool,
) -> Result<Option<Listing>, HubError> {
    let known = if is_commit(revision) {
        Some(revision.to_owned())
    } else if offline {
        cache::read(&cache.reference(revision))?.map(|text| String::from_utf8_lossy(&text).trim().to_owned())
    } else {
        None
    };
    if let Some(commit) = known.filter(|commit| is_commit(commit))
        && let Some(text) = cache::read(&cache.listing(&commit))?
        && let Ok(listing) = serde_json::from_slice(&text)
    {
        return Ok(Some(listing));
    }
    if offline {
        return Ok(None);
    }
    let url =
        client.url(["api", "datasets"].into_iter().chain(repo.split('/')).chain(["revision", revision]));
    let what = format!("for the data set `{repo}`");
    let answer = match client.json(&url, &what) {
        Ok(answer) => answer,
        Err(Failure::Error(error)) => return Err(error),
        Err(Failure::Refused(refusal)) if refusal.code == "RevisionNotFound" => return Ok(None),
        Err(Failure::Refused(refusal)) => return Err(refused(client, repo, refusal, &url, &what)),
    };
    let listing = read(&answer).map_err(|reason| HubError::Answer { host: client.name(), what, reason })?;
    let text = serde_json::to_vec(&listing).unwrap_or_default();
    cache::write_bytes(&cache.listing(&listing.commit), &text)?;
    if !is_commit(revision) {
        cache::write_bytes(&cache.reference(revision), listing.commit.as_bytes())?;
    }
    Ok(Some(listing))
}

/// The hub answers 401 for a data set that is not there, so as not to tell which private ones are.
pub(crate) fn refused(client: &Client, repo: &str, refusal: Refusal, url: &url::Url, what: &str) -> HubError {
    if !matches!(refusal.status, 401 | 403 | 404) {
        return refusal.error(url, what);
    }
    let gated = refusal.code == "GatedRepo";
    let hint = match (gated, client.has_token()) {
        (true, true) => "it is gated, and the token's user has no access yet: ask for access on its page",
        (true, false) => "it is gated: ask for access on its page, then set HF_TOKEN to a token of yours",
        (false, true) => "check the name, and that the token in HF_TOKEN is valid and may read it",
        (false, false) => {
            "check the name (`owner/name`); if it is private or gated, set HF_TOKEN to a token that may read it"
        }
    };
    HubError::NotFound { repo: repo.to_owned(), endpoint: client.name(), hint: hint.to_owned() }
}

/// Whether a revision is a whole commit hash, under which nothing ever changes.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40
        && revision.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn read(answer: &Value) -> Result<Listing, String> {
    let commit = answer.get("sha").and_then(Value::as_str).filter(|commit| is_commit(commit));
    let commit = commit.ok_or("no commit in `sha`")?.to_owned();
    let siblings =
        answer.get("siblings").and_then(Value::as_array).ok_or("no list of files in `siblings`")?;
    let names = siblings.iter().filter_map(|sibling| sibling.get("rfilename")?.as_str());
    // A path that leaves the cache's folder is not one of a repository.
    let files = names.filter(|name| is_safe_path(name)).map(str::to_owned).collect();
    let configs = answer.get("cardData").and_then(|card| card.get("configs"));
    Ok(Listing { commit, files, configs: configs.cloned().unwrap_or(Value::Null) })
}

/// Whether a path stays below the folder that it is joined to.
pub(crate) fn is_safe_path(path: &str) -> bool {
    !path.contains(['\\', ':', '\0']) && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_listing_keeps_only_paths_that_stay_inside() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let siblings: Vec<Value> = ["a/b.csv", "../x.csv", "/etc/x", "a//b", "c:x", "a\\b", "README.md"]
            .map(|name| json!({"rfilename": name}))
            .into();
        let listing = read(&json!({"sha": commit, "siblings": siblings})).unwrap();
        assert_eq!(listing.files, ["a/b.csv", "README.md"]);
        assert!(read(&json!({"sha": "../../x", "siblings": []})).is_err());
        assert!(read(&json!({"sha": commit})).is_err());
    }
}
