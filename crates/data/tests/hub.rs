//! Data sets from a hub on a loopback port that answers as the real one does.
#![cfg(feature = "hub")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the lint exempts test functions, but not the helpers they call"
)]

#[path = "support/news.rs"]
mod data;
#[path = "support/hub.rs"]
mod loopback;
#[path = "support/parquet_file.rs"]
mod parquet_file;

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use data::news;
use loopback::{Behaviour, CONVERTED, Hub, MAIN};
use parquet::basic::{Compression, ZstdLevel};
use parquet_file::{Column, write};
use promptopt_data::{DataError, HubDataset, HubExamples, HubSettings, LoadOptions, UnknownFields};
use secrecy::SecretString;
use serde_json::{Value, json};

const REPO: &str = "owner/news";

fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::default())
}

fn options() -> LoadOptions {
    LoadOptions::default()
        .with_columns([("body".to_owned(), "text".to_owned())].into())
        .with_inputs(vec!["body".to_owned()])
        .with_unknown_fields(UnknownFields::Drop)
}

fn bodies(loaded: &HubExamples) -> Vec<&str> {
    loaded.examples.iter().map(|example| example.get_str("body").unwrap()).collect()
}

fn error(dataset: &HubDataset, settings: &HubSettings) -> String {
    let error = dataset.load_from(settings, &options()).unwrap_err();
    let text = format!("{error} {error:?} {settings:?}");
    assert!(!text.contains("hf_secret") && !text.contains("Signature"), "{text}");
    error.to_string()
}

/// The converted data set in two files, and the same in CSV on `main`.
fn news_hub(behaviour: Behaviour) -> Hub {
    let converted = vec![
        ("default/train/0000.parquet", news(0..5, Compression::SNAPPY)),
        ("default/train/0001.parquet", news(5..8, zstd())),
        ("default/test/0000.parquet", news(8..10, Compression::UNCOMPRESSED)),
    ];
    let main = vec![
        ("README.md", b"# News".to_vec()),
        ("files/a.csv", b"text,label\nfrom a,1\n".to_vec()),
        ("files/b.csv", b"text,label\nfrom b,1\n".to_vec()),
    ];
    let card = json!({"configs": [
        {"config_name": "default", "data_files": [{"split": "train", "path": "files/a.csv"}, {"split": "test", "path": "files/b*"}]}
    ]});
    Hub::start(REPO, [(CONVERTED, converted), (MAIN, main)], card, behaviour)
}

#[test]
fn the_converted_files_are_loaded_once_and_the_token_stays_with_the_hub() {
    let (hub, cache) = (news_hub(Behaviour::default()), tempfile::tempdir().unwrap());
    let mut settings = hub.settings(cache.path());
    settings.token = Some(SecretString::from("hf_secret"));
    let loaded = HubDataset::new(REPO, "train").load_from(&settings, &options()).unwrap();
    assert_eq!(bodies(&loaded).len(), 8);
    assert_eq!((bodies(&loaded)[0], bodies(&loaded)[7]), ("news 0", "news 7"));
    assert!(loaded.examples[0].get("label").is_none());
    assert_eq!((loaded.source.revision.as_str(), loaded.source.config.as_str()), (CONVERTED, "default"));
    assert_eq!(loaded.source.files, ["default/train/0000.parquet", "default/train/0001.parquet"]);

    let log = hub.take_log();
    assert!(log.iter().any(|seen| seen.cdn));
    for seen in &log {
        assert_eq!(seen.authorization.as_deref(), (!seen.cdn).then_some("Bearer hf_secret"), "{seen:?}");
    }
    // Where Hugging Face's own programs look for it.
    let folder = cache.path().join("datasets--owner--news");
    assert!(folder.join("snapshots").join(CONVERTED).join("default/train/0000.parquet").is_file());
    assert_eq!(fs::read_to_string(folder.join("refs/refs/convert/parquet")).unwrap(), CONVERTED);

    // The commit asks for nothing, and neither does the branch without network.
    let pinned = HubDataset::new(REPO, "train").with_revision(CONVERTED.to_owned());
    let again = pinned.load_from(&settings, &options()).unwrap();
    settings.offline = true;
    let offline = HubDataset::new(REPO, "train").load_from(&settings, &options()).unwrap();
    assert_eq!((bodies(&again), bodies(&offline)), (bodies(&loaded), bodies(&loaded)));
    assert_eq!((&again.source, &offline.source), (&loaded.source, &loaded.source));
    assert_eq!(hub.take_log().len(), 0);
    let missing = error(&HubDataset::new(REPO, "test"), &settings);
    assert!(missing.contains("`default/test/0000.parquet` is not in the cache"), "{missing}");
}

#[test]
fn a_revision_is_read_as_its_card_says() {
    let (hub, cache) = (news_hub(Behaviour::default()), tempfile::tempdir().unwrap());
    let dataset = HubDataset::new(REPO, "test").with_revision("main".to_owned());
    let loaded = dataset.load_from(&hub.settings(cache.path()), &options()).unwrap();
    assert_eq!((bodies(&loaded), loaded.source.revision.as_str()), (vec!["from b"], MAIN));
}

#[test]
fn without_a_conversion_the_files_of_main_are_read() {
    let rows = b"{\"text\": \"one\"}\n{\"text\": \"two\"}\n".to_vec();
    let files = vec![("train.jsonl", rows), ("empty_test.jsonl", Vec::new())];
    let hub = Hub::start(REPO, [(MAIN, files)], Value::Null, Behaviour::default());
    let cache = tempfile::tempdir().unwrap();
    let settings = hub.settings(cache.path());
    let loaded = HubDataset::new(REPO, "train").load_from(&settings, &options()).unwrap();
    assert_eq!((bodies(&loaded), loaded.source.revision.as_str()), (vec!["one", "two"], MAIN));
    let empty = error(&HubDataset::new(REPO, "test"), &settings);
    assert!(empty.contains("has no rows"), "{empty}");
}

/// Text that no codec makes smaller.
fn noise(row: u64) -> String {
    let mut state = row.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}")
    };
    (0..64).map(|_| next()).collect()
}

#[test]
fn with_a_limit_only_parts_of_a_large_parquet_file_are_asked_for() {
    let group = |rows: std::ops::Range<u64>| {
        let texts = Column::Text(rows.clone().map(|row| format!("news {row}")).collect());
        vec![Column::Text(rows.map(noise).collect()), texts]
    };
    let file =
        write(&["noise", "text"], [group(0..10_000), group(10_000..20_000)], Compression::UNCOMPRESSED);
    let size = file.len();
    assert!(size > 20_000_000, "{size}");
    let files = vec![("default/train/0000.parquet", file)];
    let behaviour = Behaviour { link_uses: Some(2), ..Behaviour::default() };
    let hub = Hub::start(REPO, [(CONVERTED, files)], Value::Null, behaviour);
    let cache = tempfile::tempdir().unwrap();
    let mut settings = hub.settings(cache.path());
    // From both row groups.
    let dataset = HubDataset::new(REPO, "train").with_limit(10_050);
    let loaded = dataset.load_from(&settings, &options()).unwrap();
    assert_eq!((loaded.examples.len(), bodies(&loaded)[10_049]), (10_050, "news 10049"));
    let log = hub.take_log();
    let sent: usize = log.iter().map(|seen| seen.sent).sum();
    assert!(sent < size / 3, "{sent} bytes of {size}");
    // An address of the CDN that is refused is asked for again.
    assert!(log.iter().filter(|seen| seen.path.contains("/resolve/")).count() > 1);

    settings.offline = true;
    assert_eq!(bodies(&dataset.load_from(&settings, &options()).unwrap()), bodies(&loaded));
    let all = error(&HubDataset::new(REPO, "train"), &settings);
    assert!(all.contains("HF_HUB_OFFLINE is set"), "{all}");
}

#[test]
fn with_a_limit_reading_text_stops_there() {
    let line = |row: u64| format!("{{\"text\": \"{row} {}\"}}\n", noise(row));
    let file: String = (0..20_000).map(line).collect();
    let size = file.len();
    let files = vec![("train.jsonl", file.into_bytes())];
    let hub = Hub::start(REPO, [(MAIN, files)], Value::Null, Behaviour::default());
    let cache = tempfile::tempdir().unwrap();
    let dataset = HubDataset::new(REPO, "train").with_limit(1500);
    let loaded = dataset.load_from(&hub.settings(cache.path()), &options()).unwrap();
    assert_eq!((loaded.examples.len(), bodies(&loaded)[1499].starts_with("1499 ")), (1500, true));
    let sent: usize = hub.take_log().iter().map(|seen| seen.sent).sum();
    assert!(sent < 3_000_000 && size > 20_000_000, "{sent} bytes of {size}");
}

#[test]
fn what_is_not_there_is_named_with_what_to_do() {
    let (hub, cache) = (news_hub(Behaviour::default()), tempfile::tempdir().unwrap());
    let mut settings = hub.settings(cache.path());
    let check = |dataset: HubDataset, settings: &HubSettings, expected: &str| {
        let error = error(&dataset, settings);
        assert!(error.contains(expected), "{error}");
    };
    let news = || HubDataset::new(REPO, "train");
    check(HubDataset::new("owner/none", "train"), &settings, "if it is private or gated, set HF_TOKEN");
    check(
        news().with_config("de".to_owned()),
        &settings,
        "no configuration `de`: set `config` to one of `default`",
    );
    check(
        HubDataset::new(REPO, "dev"),
        &settings,
        "no split `dev` in its configuration `default`: set `split` to one of `test`, `train`",
    );
    check(news().with_revision("v2".to_owned()), &settings, "has no revision `v2`");
    check(news().with_limit(0), &settings, "a `limit` of 0");
    check(HubDataset::new("../x", "train"), &settings, "the name of a data set is `owner/name`");
    settings.token = Some(SecretString::from("hf_secret"));
    check(HubDataset::new("owner/none", "train"), &settings, "the token in HF_TOKEN is valid");
    settings.endpoint = "nonsense".to_owned();
    check(news(), &settings, "check HF_ENDPOINT");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    settings.endpoint = format!("http://user:hf_secret@{closed}");
    check(news(), &HubSettings::new(format!("http://{closed}"), cache.path()), "set HF_ENDPOINT to a mirror");
    let password = news().load_from(&settings, &options()).unwrap_err().to_string();
    assert!(password.contains("could not be reached") && !password.contains("hf_secret"), "{password}");
}

#[test]
fn a_gated_data_set_asks_for_a_token() {
    let (hub, cache) = (
        news_hub(Behaviour { gated: Some("hf_secret"), ..Behaviour::default() }),
        tempfile::tempdir().unwrap(),
    );
    let mut settings = hub.settings(cache.path());
    let refused = error(&HubDataset::new(REPO, "test"), &settings);
    assert!(refused.contains("it is gated: ask for access on its page, then set HF_TOKEN"), "{refused}");
    settings.token = Some(SecretString::from("hf_other"));
    let refused = error(&HubDataset::new(REPO, "test"), &settings);
    assert!(refused.contains("the token's user has no access yet"), "{refused}");
    settings.token = Some(SecretString::from("hf_secret"));
    assert_eq!(HubDataset::new(REPO, "test").load_from(&settings, &options()).unwrap().examples.len(), 2);
}

#[test]
fn a_busy_hub_and_one_without_ranges_are_read_too() {
    let behaviour = Behaviour { busy: 2, no_ranges: true, ..Behaviour::default() };
    let (hub, cache) = (news_hub(behaviour), tempfile::tempdir().unwrap());
    let loaded = HubDataset::new(REPO, "train").load_from(&hub.settings(cache.path()), &options()).unwrap();
    assert_eq!(bodies(&loaded).len(), 8);
    assert!(hub.take_log().len() > 4);
}

#[test]
fn an_answer_that_ends_early_is_an_error_and_leaves_no_file() {
    let behaviour = Behaviour { cut_at: Some(100), ..Behaviour::default() };
    let (hub, cache) = (news_hub(behaviour), tempfile::tempdir().unwrap());
    let cut = error(&HubDataset::new(REPO, "train"), &hub.settings(cache.path()));
    assert!(cut.contains("could not be reached") || cut.contains("another number of bytes"), "{cut}");
    assert!(!has_file(&cache.path().join("datasets--owner--news/snapshots")));
}

fn has_file(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.path().is_file() || has_file(&entry.path()))
}

#[test]
fn errors_of_rows_name_data_set_commit_file_and_row() {
    let (hub, cache) = (news_hub(Behaviour::default()), tempfile::tempdir().unwrap());
    let options = options().with_max_row_bytes(11);
    let error = HubDataset::new(REPO, "train").load_from(&hub.settings(cache.path()), &options).unwrap_err();
    assert!(matches!(error, DataError::RowTooLarge { .. }));
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("owner/news@{CONVERTED}/default/train/0000.parquet, row 1: ")),
        "{text}"
    );
}
