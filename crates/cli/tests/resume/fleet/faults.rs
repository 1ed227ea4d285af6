//! Faults at random moments, on all sides: the outcome is the same, and nothing is paid twice.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::machines::{
    AT_ONCE, Machine, PROGRAMS, Server, folder, harness, optimize, processes, results, task, url,
};
use super::proxy::Proxy;
use crate::OPTIMIZERS;
use crate::harness::{command, completed, kill, wait_until};

/// What happens, with how often it did.
const KINDS: [&str; 8] = [
    "worker killed",
    "worker stopped for a while",
    "server killed",
    "server killed and wiped",
    "messages held back",
    "connections cut",
    "network away",
    "coordinator killed",
];

/// So that all kinds of programs have their turn.
const MOST_IN_A_RUN: usize = 20;
/// Slots of a worker.
const SLOTS: usize = 4;
const WORKERS: usize = 3;
/// No life of a run takes longer than this.
const LONGEST: Duration = Duration::from_secs(180);

/// A worker's own network, of which the cable can be pulled.
struct Network {
    name: String,
    number: u8,
}

impl Network {
    /// `None` where networks cannot be made, for which one must be root.
    fn new() -> Option<Self> {
        let number = (std::process::id() % 250) as u8;
        let network = Self { name: format!("promptopt{number}"), number };
        let (name, outer, inner) = (&network.name, network.outer(), format!("pi{number}"));
        let steps = [
            format!("netns add {name}"),
            format!("link add {outer} type veth peer name {inner} netns {name}"),
            format!("addr add 10.231.{number}.1/30 dev {outer}"),
            format!("link set {outer} up"),
            format!("-n {name} addr add 10.231.{number}.2/30 dev {inner}"),
            format!("-n {name} link set {inner} up"),
            // The gateway of a program listens there.
            format!("-n {name} link set lo up"),
        ];
        steps.iter().all(|step| ip(step)).then_some(network)
    }

    fn outer(&self) -> String {
        format!("po{}", self.number)
    }

    fn worker(&self, folder: &Path, port: u16) -> Machine {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, env!("CARGO_BIN_EXE_promptopt")]);
        Machine::begin(command, folder, &format!("nats://10.231.{}.1:{port}", self.number), SLOTS)
    }

    fn away(&self, time: Duration) {
        assert!(ip(&format!("link set {} down", self.outer())));
        std::thread::sleep(time);
        assert!(ip(&format!("link set {} up", self.outer())));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.name));
        ip(&format!("link del {}", self.outer()));
    }
}

fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split(' ')).output().is_ok_and(|output| output.status.success())
}

/// What came of it.
#[derive(Default, Debug)]
struct Figures {
    faults: [usize; KINDS.len()],
    runs: usize,
    calls: usize,
    /// Calls under way in a kill of the coordinator, which are made again.
    lost: usize,
    repeated: usize,
}

/// One run with all that belongs to it.
struct Site<'a> {
    server: Server,
    proxy: Proxy,
    network: &'a Option<Network>,
    folder: tempfile::TempDir,
    workers: Vec<Machine>,
    coordinator: Child,
}

impl<'a> Site<'a> {
    fn start(folder: tempfile::TempDir, network: &'a Option<Network>) -> Option<Self> {
        let address = if network.is_some() { "0.0.0.0" } else { "127.0.0.1" };
        let server = Server::with(address, &["-js"])?;
        let proxy = Proxy::start(server.port());
        let coordinator = coordinator(folder.path(), &optimize(Some(&server.url())));
        let mut site = Self { server, proxy, network, folder, workers: Vec::new(), coordinator };
        for number in 0..WORKERS {
            let worker = site.worker(number);
            site.workers.push(worker);
        }
        site.wait_for_coordinator();
        Some(site)
    }

    /// A server that is away when a run begins is an error that is said, and tested elsewhere.
    fn wait_for_coordinator(&mut self) {
        let Self { server, coordinator, .. } = self;
        wait_until("the coordinator", || {
            server.count("run") > 0 || coordinator.try_wait().unwrap().is_some()
        });
    }

    /// The first is behind the proxy, the second in a network of its own.
    fn worker(&self, number: usize) -> Machine {
        let folder = self.folder.path();
        match (number, self.network) {
            (0, _) => Machine::start(folder, &url(self.proxy.port()), SLOTS),
            (1, Some(network)) => network.worker(folder, self.server.port()),
            _ => Machine::start(folder, &self.server.url(), SLOTS),
        }
    }

    /// Waits for the end of the run, or as long as that; says whether it is over.
    fn is_over(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if let Some(status) = self.coordinator.try_wait().unwrap() {
                let said = std::fs::read_to_string(self.folder.path().join(LOG)).unwrap();
                assert!(status.success(), "{status} {said}");
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn happen(&mut self, kind: usize, random: &mut ChaCha8Rng) {
        let number = random.random_range(0..WORKERS);
        let time = Duration::from_millis(random.random_range(200..2500));
        match KINDS[kind] {
            "worker killed" => {
                kill(&mut self.workers[number].child);
                self.workers[number] = self.worker(number);
            }
            "worker stopped for a while" => {
                self.workers[number].signal("STOP");
                std::thread::sleep(time);
                self.workers[number].signal("CONT");
            }
            "server killed" => {
                self.server.kill();
                std::thread::sleep(time / 4);
                self.server.begin().unwrap();
            }
            "server killed and wiped" => {
                self.server.wipe().unwrap();
                self.server.begin().unwrap();
            }
            "messages held back" => self.proxy.hold(time),
            "connections cut" => self.proxy.cut(),
            "network away" => self.network.as_ref().unwrap().away(time),
            _ => kill(&mut self.coordinator),
        }
    }

    fn resume(&mut self) {
        let is_begun = self.folder.path().join("route.run/run.json").exists();
        let url = self.server.url();
        let again = ["resume", "route.run", "--fleet", &url];
        let arguments = if is_begun { again.to_vec() } else { optimize(Some(&url)) };
        self.coordinator = coordinator(self.folder.path(), &arguments);
        self.wait_for_coordinator();
    }
}

/// Where coordinators write what they say.
const LOG: &str = "coordinator.log";

fn coordinator(folder: &Path, arguments: &[&str]) -> Child {
    let log = std::fs::File::create(folder.join(LOG)).unwrap();
    command(folder, arguments).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// Runs until so many faults happened.
fn faults(most: usize, seed: u64) -> Option<Figures> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let network = Network::new();
    let mut figures = Figures::default();
    let kinds: Vec<usize> =
        (0..KINDS.len()).filter(|&kind| network.is_some() || KINDS[kind] != "network away").collect();
    let mut plan = Vec::new();
    while figures.faults.iter().sum::<usize>() < most {
        let program = PROGRAMS[figures.runs % PROGRAMS.len()];
        let optimizer = OPTIMIZERS[(figures.runs + seed as usize) % OPTIMIZERS.len()];
        let harness = harness(program);
        let task = task(&harness, optimizer, 200);
        let alone = folder(&harness, &task);
        let output = crate::harness::promptopt(alone.path(), &optimize(None));
        assert!(output.status.success(), "{}", crate::harness::said(&output));
        let (expected, asked_alone) = (results(alone.path()), harness.by_body());

        harness.reset();
        // So that something can happen.
        harness.set_latency(Duration::from_millis(400));
        let mut site = Site::start(folder(&harness, &task), &network)?;
        let (mut asked, mut kept, mut happened) = (0, 0, Vec::new());
        let started = Instant::now();
        while !site.is_over(Duration::from_millis(random.random_range(50..900))) {
            let case = || format!("{program} {optimizer} {happened:?}");
            if started.elapsed() > LONGEST {
                let said: Vec<String> = site.workers.iter().map(Machine::said).collect();
                panic!("{}: the run does not end: {said:#?} {:#}", case(), site.server.status());
            }
            if happened.len() >= MOST_IN_A_RUN || figures.faults.iter().sum::<usize>() >= most {
                continue;
            }
            if plan.is_empty() {
                plan.clone_from(&kinds);
            }
            // Each kind once before one comes again.
            let kind = plan.swap_remove(random.random_range(0..plan.len()));
            site.happen(kind, &mut random);
            if KINDS[kind] == "coordinator killed" {
                // What was asked and is not in the journal was under way.
                let (asked_now, kept_now) = (harness.requests(), completed(site.folder.path()));
                let lost = (asked_now - asked) - (kept_now - kept);
                (asked, kept) = (asked_now, kept_now);
                figures.lost += lost.min(AT_ONCE);
                figures.repeated += lost.saturating_sub(AT_ONCE);
                site.resume();
            }
            happened.push(KINDS[kind]);
            figures.faults[kind] += 1;
        }
        let case = format!("{program} {optimizer} {happened:?}");
        for worker in &mut site.workers {
            let status = worker.leave();
            assert!(status.success(), "{case}: {status} {}", worker.said());
        }
        let kept_now = completed(site.folder.path());
        figures.repeated += (harness.requests() - asked) - (kept_now - kept);
        figures.calls += kept_now;
        assert!(expected == results(site.folder.path()), "{case}: another outcome");
        if !happened.contains(&"coordinator killed") {
            assert!(asked_alone == harness.by_body(), "{case}: other requests");
        }
        assert_eq!(site.server.status()["queued"], 0, "{case}");
        assert_eq!(processes(site.folder.path()), [""; 0], "{case}");
        figures.runs += 1;
    }
    Some(figures)
}

fn line(figures: &Figures, seconds: f64) -> String {
    let kinds = KINDS.iter().zip(figures.faults).map(|(kind, times)| match (*kind, times) {
        ("network away", 0) => "network away 0 (skipped where one is not root)".to_owned(),
        (kind, times) => format!("{kind} {times}"),
    });
    format!(
        "fleet: {} faults in {} runs, {seconds:.0} s ({}): {} completed calls, {} under way at a kill and made again, {} completed \
         calls repeated, no run with another outcome\n",
        figures.faults.iter().sum::<usize>(),
        figures.runs,
        kinds.collect::<Vec<_>>().join(", "),
        figures.calls,
        figures.lost,
        figures.repeated
    )
}

#[test]
fn faults_change_nothing_and_pay_nothing_twice() {
    let Some(figures) = faults(15, 3) else { return };
    assert_eq!(figures.repeated, 0, "{figures:?}");
}

/// What `cargo xtask crash --fleet` runs; the figures go to standard output.
#[test]
#[ignore = "takes as long as it is told to; `cargo xtask crash --fleet` runs it"]
fn fleet_faults() {
    let number =
        |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let started = Instant::now();
    let (most, seed) = (number("PROMPTOPT_FLEET_FAULTS", 200), number("PROMPTOPT_CRASH_SEED", 0));
    let Some(figures) = faults(most as usize, seed) else { panic!("there is no nats-server on the path") };
    #[expect(clippy::disallowed_methods, reason = "the harness keeps back what tests print")]
    let mut out = std::io::stdout();
    let line = line(&figures, started.elapsed().as_secs_f64());
    std::io::Write::write_all(&mut out, line.as_bytes()).unwrap();
    assert_eq!(figures.repeated, 0, "{figures:?}");
}
