//! Child processes that take their own children along when they end.

use std::io;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};

use tokio::process::{Child, Command};

/// The leaders of all groups that live.
static LEADERS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A process and those that it started, in a group of their own. So Ctrl-C, which the terminal sends to our group,
/// leaves it to us when they end: with this value.
///
/// A process that founds another group or session leaves this one and is not ended.
#[derive(Debug)]
pub struct ProcessGroup {
    leader: Child,
}

impl ProcessGroup {
    /// Starts a command as the leader of a new group.
    ///
    /// # Errors
    ///
    /// Where the program cannot be started.
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        #[cfg(unix)]
        command.process_group(0);
        let mut leaders = LEADERS.lock().unwrap_or_else(PoisonError::into_inner);
        let leader = command.kill_on_drop(true).spawn()?;
        leaders.extend(leader.id());
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
            LEADERS.lock().unwrap_or_else(PoisonError::into_inner).retain(|leader| *leader != id);
            end(id);
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
            let mut leaders = LEADERS.lock().unwrap_or_else(PoisonError::into_inner);
            leaders.retain(|leader| *leader != id);
            end(id);
        }
    }
}

/// Ends all groups and lets no new one begin, where the process is about to end without dropping anything.
pub fn end_all() {
    let leaders = LEADERS.lock().unwrap_or_else(PoisonError::into_inner);
    leaders.iter().copied().for_each(end);
    // Whoever starts one, or drops one, waits until the process ends.
    std::mem::forget(leaders);
}

#[cfg(unix)]
fn end(leader: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        // A group that is gone already is what is wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Elsewhere the process alone is ended, when it is dropped.
#[cfg(not(unix))]
fn end(_leader: u32) {}
