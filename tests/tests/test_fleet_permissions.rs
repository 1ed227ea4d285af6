//! What guards a fleet: the configuration of a deployment (`deploy/fleet`), by which coordinator and workers can do what they need and
//! no more, and encryption.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{ConnectOptions, Event};
use promptopt_fleet::nats::{NatsCredentials, NatsWorker, overview};

use crate::test_fleet::identity;
use crate::test_fleet_nats::{large_messages_travel, options, server};

/// Public key and seed, made for this test.
const COORDINATOR: [&str; 2] = [
    "UCGC6HOVJBQXFDJZISR6DCBFAZDRUEK2IC5GDYAAI6RW5B4BHDWRUXZF",
    "SUAOWIR5OKZ2BOFEPLLW36XXK56USEWIEHU2FEVULLOBZ52PJYTH6OPMCA",
];
const WORKER: [&str; 2] = [
    "UCXK5H6RLHWXLJ2TNH6LUDCDH54REPLKRPAVQGZF4TY6SW5NLEP274L7",
    "SUALIKU6SA75RTOCFNONLYFYJIMU67OF3Y2G6GKNXYESHYKDNP6G7TZNSU",
];

/// What the server refuses a client that publishes to subjects, or subscribes to them.
async fn refused(url: &str, seed: &str, subjects: &[&str], publish: bool) -> Vec<String> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    let options = ConnectOptions::new().nkey(seed.to_owned()).event_callback(move |event| {
        if let Event::ServerError(error) = event {
            heard.lock().unwrap().push(error.to_string());
        }
        std::future::ready(())
    });
    let client = options.connect(url).await.unwrap();
    for subject in subjects {
        if publish {
            client.publish((*subject).to_owned(), "x".into()).await.unwrap();
        } else {
            // Dropped at once, which the server hears behind the subscription.
            drop(client.subscribe((*subject).to_owned()).await.unwrap());
        }
    }
    client.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let said = said.lock().unwrap();
    let is_refused = |subject: &&&str| said.iter().any(|error| error.contains(&format!("\"{subject}\"")));
    subjects.iter().filter(is_refused).map(|subject| (*subject).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_of_the_deployment_can_do_what_they_need_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = include_str!("../../deploy/fleet/accounts.conf")
        .replace("$COORDINATOR_NKEY", COORDINATOR[0])
        .replace("$WORKER_NKEY", WORKER[0]);
    let path = folder.path().join("accounts.conf");
    std::fs::write(&path, accounts).unwrap();
    let Some(server) = server(&["-js", "-c", path.to_str().unwrap()]) else { return };
    let of = |seed: &str| options(&server).with_credentials(NatsCredentials::NKey(seed.to_owned().into()));

    // What is needed: a queue, calls, results, and messages of several megabytes both ways.
    large_messages_travel(of(COORDINATOR[1]), of(WORKER[1])).await;

    // A worker puts no job into the queue, poses as nobody, makes no stream, and reads no question of another one.
    let url = server.url();
    let posing = ["promptopt.jobs.k.r.1", "promptopt.open", "promptopt.who", "_INBOX.another"];
    assert_eq!(refused(&url, WORKER[1], &posing, true).await, posing);
    assert_eq!(overview(of(COORDINATOR[1])).await.unwrap().queued, 0);
    let api = [
        "$JS.API.STREAM.CREATE.promptopt_jobs",
        "$JS.API.STREAM.CREATE.another",
        "$JS.API.STREAM.DELETE.promptopt_jobs",
        "$JS.API.STREAM.PURGE.promptopt_jobs",
        "$JS.API.STREAM.MSG.GET.promptopt_jobs",
        "$JS.API.CONSUMER.CREATE.promptopt_jobs",
    ];
    assert_eq!(refused(&url, WORKER[1], &api, true).await, api);
    let listening = [">", "promptopt.jobs.>", "promptopt.ask.*", "promptopt.hello", "$JS.API.>"];
    assert_eq!(refused(&url, WORKER[1], &listening, false).await, listening);

    // The same by the coordinator, where it may: so it is the user who is refused, and not the message.
    let none: [&str; 0] = [];
    assert_eq!(refused(&url, COORDINATOR[1], &["promptopt.jobs.k.r.1", "promptopt.open"], true).await, none);
    assert_eq!(overview(of(COORDINATOR[1])).await.unwrap().queued, 1);
    assert_eq!(refused(&url, COORDINATOR[1], &["promptopt.ask.*"], false).await, none);
    let foreign = ["another", "_INBOX.another", "$JS.API.STREAM.CREATE.another"];
    assert_eq!(refused(&url, COORDINATOR[1], &foreign, true).await, foreign);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_encrypted_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (file("key.pem"), file("certificate.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "1",
        ])
        .args(["-subj", "/CN=fleet", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &certificate])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let tls = ["-js", "--tls", "--tlscert", &certificate, "--tlskey", &key];
    let Some(server) = server(&tls) else { return };
    let mut options = options(&server);
    options.url = options.url.replace("nats://", "tls://");
    let error = NatsWorker::connect(options.clone(), identity()).await.err().unwrap().to_string();
    assert!(error.contains("no encrypted connection"), "{error}");
    let trusting = options.with_root_certificates(&certificate);
    large_messages_travel(trusting.clone(), trusting).await;
}
