//! A hub on a loopback port, with its files on another one, as the real hub has them on a CDN.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use promptopt_data::HubSettings;
use serde_json::{Value, json};

/// The commit of `main`.
pub(crate) const MAIN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// The commit of the converted files.
pub(crate) const CONVERTED: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A request that came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) cdn: bool,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) sent: usize,
}

/// How the hub behaves.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// Files are sent whole whatever range is asked for.
    pub(crate) no_ranges: bool,
    /// How many of the first requests are answered with 503.
    pub(crate) busy: usize,
    /// After how many uses an address of the CDN is refused.
    pub(crate) link_uses: Option<usize>,
    /// Files end after so many bytes of an answer.
    pub(crate) cut_at: Option<usize>,
    /// The data set is gated: files need this token.
    pub(crate) gated: Option<&'static str>,
}

type Files = BTreeMap<String, Vec<u8>>;

struct State {
    repo: &'static str,
    commits: BTreeMap<&'static str, Files>,
    card: Value,
    behaviour: Behaviour,
    log: Mutex<Vec<Seen>>,
    cdn: String,
}

/// A running hub.
pub(crate) struct Hub {
    state: Arc<State>,
    url: String,
}

struct Request {
    path: String,
    headers: BTreeMap<String, String>,
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Hub {
    /// A hub with one data set: its commits' files and the metadata of its card.
    pub(crate) fn start(
        repo: &'static str,
        commits: impl IntoIterator<Item = (&'static str, Vec<(&'static str, Vec<u8>)>)>,
        card: Value,
        behaviour: Behaviour,
    ) -> Self {
        let files = |files: Vec<(&'static str, Vec<u8>)>| {
            files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect::<Files>()
        };
        let commits = commits.into_iter().map(|(commit, list)| (commit, files(list))).collect();
        let [hub, cdn] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [url, cdn_url] = [&hub, &cdn].map(|one| format!("http://{}", one.local_addr().unwrap()));
        let state = Arc::new(State { repo, commits, card, behaviour, log: Mutex::default(), cdn: cdn_url });
        for (listener, is_cdn) in [(hub, false), (cdn, true)] {
            let state = Arc::clone(&state);
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let state = Arc::clone(&state);
                    thread::spawn(move || state.serve(stream, is_cdn));
                }
            });
        }
        Self { state, url }
    }

    pub(crate) fn settings(&self, cache: &Path) -> HubSettings {
        HubSettings::new(&self.url, cache)
    }

    /// The requests since the last call.
    pub(crate) fn take_log(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.log.lock().unwrap())
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream, cdn: bool) {
        let Some(request) = read(&stream) else { return };
        let reply = if cdn { self.cdn(&request) } else { self.hub(&request) };
        self.log.lock().unwrap().push(Seen {
            cdn,
            path: request.path.clone(),
            authorization: request.headers.get("authorization").cloned(),
            sent: reply.body.len(),
        });
        let mut head = format!("HTTP/1.1 {} .\r\nConnection: close\r\n", reply.status);
        head += &format!("Content-Length: {}\r\n", reply.body.len());
        head.extend(reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
        let cut = self.behaviour.cut_at.filter(|_| cdn).unwrap_or(usize::MAX).min(reply.body.len());
        let _ = stream.write_all(format!("{head}\r\n").as_bytes());
        let _ = stream.write_all(&reply.body[..cut]);
    }

    fn hub(&self, request: &Request) -> Reply {
        if self.log.lock().unwrap().len() < self.behaviour.busy {
            let mut reply = refusal(503, "", "Service Unavailable");
            reply.headers.push(("Retry-After", "0".to_owned()));
            return reply;
        }
        let api = format!("/api/datasets/{}/revision/", self.repo);
        let resolve = format!("/datasets/{}/resolve/", self.repo);
        if let Some(revision) = request.path.strip_prefix(&api) {
            return self.info(revision);
        }
        if let Some((commit, path)) =
            request.path.strip_prefix(&resolve).and_then(|rest| rest.split_once('/'))
        {
            return self.resolve(request, commit, path);
        }
        // Small files are answered from a path of the hub's own.
        if let Some((commit, path)) =
            request.path.strip_prefix("/api/resolve-cache/").and_then(|rest| rest.split_once('/'))
        {
            return self.file(request, commit, path);
        }
        refusal(401, "RepoNotFound", "Repository not found")
    }

    fn info(&self, revision: &str) -> Reply {
        let commit = match revision {
            "main" => MAIN,
            "refs%2Fconvert%2Fparquet" => CONVERTED,
            other => other,
        };
        let Some(files) = self.commits.get(commit) else {
            return refusal(404, "RevisionNotFound", &format!("Invalid rev id: {revision}"));
        };
        let siblings: Vec<Value> = files.keys().map(|path| json!({"rfilename": path})).collect();
        let info = json!({
            "_id": "0", "id": self.repo, "sha": commit, "private": false, "gated": false, "disabled": false,
            "siblings": siblings, "cardData": self.card,
        });
        let headers = vec![("Content-Type", "application/json; charset=utf-8".to_owned())];
        Reply { status: 200, headers, body: info.to_string().into_bytes() }
    }

    fn resolve(&self, request: &Request, commit: &str, path: &str) -> Reply {
        if let Some(token) = self.behaviour.gated
            && request.headers.get("authorization") != Some(&format!("Bearer {token}"))
        {
            return refusal(401, "GatedRepo", "Access to this dataset is restricted");
        }
        let Some(bytes) = self.commits.get(commit).and_then(|files| files.get(path)) else {
            return refusal(404, "EntryNotFound", "Entry not found");
        };
        let location = match path.ends_with(".parquet") {
            true => format!("{}/{commit}/{path}?Signature=secret", self.cdn),
            false => format!("/api/resolve-cache/{commit}/{path}"),
        };
        let headers = vec![
            ("Location", location),
            ("X-Repo-Commit", commit.to_owned()),
            ("X-Linked-Size", bytes.len().to_string()),
            ("X-Linked-Etag", "\"0\"".to_owned()),
        ];
        Reply { status: 302, headers, body: b"Found. Redirecting".to_vec() }
    }

    fn cdn(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap_or_default();
        let used = self.log.lock().unwrap().iter().rev().take_while(|seen| seen.cdn).count();
        if self.behaviour.link_uses.is_some_and(|uses| used >= uses) {
            return Reply { status: 403, headers: Vec::new(), body: b"<Error>expired</Error>".to_vec() };
        }
        match path.trim_start_matches('/').split_once('/') {
            Some((commit, path)) => self.file(request, commit, path),
            None => Reply { status: 404, headers: Vec::new(), body: Vec::new() },
        }
    }

    fn file(&self, request: &Request, commit: &str, path: &str) -> Reply {
        let Some(bytes) = self.commits.get(commit).and_then(|files| files.get(path)) else {
            return refusal(404, "EntryNotFound", "Entry not found");
        };
        let range = request.headers.get("range").filter(|_| !self.behaviour.no_ranges);
        let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
        else {
            return Reply { status: 200, headers: Vec::new(), body: bytes.clone() };
        };
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        if first >= bytes.len() {
            let headers = vec![("Content-Range", format!("bytes */{}", bytes.len()))];
            return Reply { status: 416, headers, body: Vec::new() };
        }
        let end = (last + 1).min(bytes.len());
        let headers = vec![("Content-Range", format!("bytes {first}-{}/{}", end - 1, bytes.len()))];
        Reply { status: 206, headers, body: bytes[first..end].to_vec() }
    }
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let mut headers = vec![("Content-Type", "application/json".to_owned())];
    if !code.is_empty() {
        headers.extend([("X-Error-Code", code.to_owned()), ("X-Error-Message", message.to_owned())]);
    }
    Reply { status, headers, body: json!({ "error": message }).to_string().into_bytes() }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    Some(Request { path, headers: headers.collect() })
}
