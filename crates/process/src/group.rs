//! Child processes that take their own children along when they end.

use std::io;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::process::{Child, Command};

use crate::guard::Guard;
use crate::strays;

/// The groups that live.
static LIVING: Mutex<Living> = Mutex::new(Living { leaders: Vec::new(), guard: None });

struct Living {
    /// Each leader, and the mark of what it started.
    leaders: Vec<(u32, Option<String>)>,
    /// Started with the first group.
    guard: Option<Guard>,
}

impl Living {
    /// Starts a group. The guard is there before, because we may be killed in between.
    fn start(&mut self, command: &mut Command, mark: Option<String>) -> io::Result<Child> {
        let guard = self.guard.get_or_insert_with(Guard::start);
        guard.begin();
        let leader = command.kill_on_drop(true).spawn();
        if let Some(id) = leader.as_ref().ok().and_then(Child::id) {
            self.leaders.push((id, mark));
            guard.add(id);
        }
        guard.begun();
        leader
    }

    /// Ends a group, which no longer lives.
    fn end(&mut self, leader: u32) {
        let Some(place) = self.leaders.iter().position(|(known, _)| *known == leader) else { return };
        let (leader, mark) = self.leaders.swap_remove(place);
        end(leader, mark.as_deref());
        if let Some(guard) = &mut self.guard {
            guard.remove(leader);
        }
    }
}

fn living() -> MutexGuard<'static, Living> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process and those that it started, in a group of their own. So Ctrl-C, which the terminal sends to our group,
/// leaves it to us when they end: with this value. Where we are killed, a small shell that lives beside us ends them.
///
/// A process that founds another group or session leaves this one, and is ended only where
/// [`CommandLine::ending_strays`](crate::CommandLine::ending_strays) asks for it.
#[derive(Debug)]
pub struct ProcessGroup {
    leader: Child,
}

impl ProcessGroup {
    /// Starts a command as the leader of a new group. What it starts is known by `mark`.
    ///
    /// # Errors
    ///
    /// Where the program cannot be started.
    pub(crate) fn start(mut command: Command, mark: Option<String>) -> io::Result<Self> {
        #[cfg(unix)]
        command.process_group(0);
        command.envs(mark.as_ref().map(|mark| (strays::VARIABLE, mark)));
        let leader = living().start(&mut command, mark)?;
        Ok(Self { leader })
    }

    /// Waits for the leader to end, and ends those that it left behind.
    ///
    /// # Errors
    ///
    /// Where the system does not say how it ended.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let id = self.leader.id();
        let status = self.leader.wait().await;
        if let Some(id) = id {
            // From here on the number of the leader may become that of another process.
            living().end(id);
        }
        status
    }

    /// The process that was started.
    pub fn leader(&mut self) -> &mut Child {
        &mut self.leader
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // Nobody waited for the leader yet, so its number is still its own, even if it has ended.
        if let Some(id) = self.leader.id() {
            living().end(id);
        }
    }
}

/// Ends all groups and lets no new one begin, where the process is about to end without dropping anything.
pub fn end_all() {
    let living = living();
    living.leaders.iter().for_each(|(leader, mark)| end(*leader, mark.as_deref()));
    // Whoever starts one, or drops one, waits until the process ends.
    std::mem::forget(living);
}

/// Ends a group, and those with its mark that left it.
fn end(leader: u32, mark: Option<&str>) {
    end_group(leader);
    if let Some(mark) = mark {
        strays::end(mark, leader);
    }
}

#[cfg(unix)]
fn end_group(leader: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        // A group that is gone already is what is wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Elsewhere the process alone is ended, when it is dropped.
#[cfg(not(unix))]
fn end_group(_leader: u32) {}
