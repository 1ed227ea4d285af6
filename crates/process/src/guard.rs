//! What ends our groups when we are killed and cannot do it ourselves.

use std::io::Write as _;
use std::process::{ChildStdin, Command, Stdio};

use crate::strays;

/// Keeps the list of the groups that live, and ends them all when its standard input ends. That is when we end, however we
/// do. Then it looks for those that left a group, as far as the system shows the environment of processes, until it finds none
/// for a while: one that is being started when we are killed has no environment yet.
const SCRIPT: &str = r#"
groups=
while read -r sign group; do
    case $sign in
    +) groups="$groups $group" ;;
    -) rest=
       for one in $groups; do [ "$one" = "$group" ] || rest="$rest $one"; done
       groups=$rest ;;
    esac
done
[ -n "$groups" ] || exit
for group in $groups; do [ "$group" = starting ] || kill -s KILL -- "-$group"; done
rounds=0 quiet=0
while [ "$quiet" -lt 15 ] && [ "$rounds" -lt 100 ]; do
    rounds=$((rounds + 1)) quiet=$((quiet + 1))
    for file in $(grep -lF -- "$1" /proc/[0-9]*/environ); do
        quiet=0
        process=${file#/proc/}
        kill -s KILL "${process%/environ}"
    done
    sleep 0.1
done
"#;

/// A shell that outlives us by a moment.
#[derive(Debug)]
pub(crate) struct Guard(Option<ChildStdin>);

impl Guard {
    /// Starts it. Where there is no shell, what we leave behind when we are killed stays.
    pub(crate) fn start() -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "guard"])
            // As an argument: in its environment it would be a mark of the shell itself.
            .arg(format!("{}=", strays::VARIABLE) + strays::ours())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Ctrl-C, which the terminal sends to our group, is for us.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Self(command.spawn().ok().and_then(|child| child.stdin))
    }

    /// A group is about to be started, whose number is not known yet.
    pub(crate) fn begin(&mut self) {
        self.tell("+ starting");
    }

    /// It was started, or could not be.
    pub(crate) fn begun(&mut self) {
        self.tell("- starting");
    }

    pub(crate) fn add(&mut self, leader: u32) {
        self.tell(&format!("+ {leader}"));
    }

    pub(crate) fn remove(&mut self, leader: u32) {
        self.tell(&format!("- {leader}"));
    }

    fn tell(&mut self, line: &str) {
        if let Some(stdin) = &mut self.0
            && stdin.write_all(format!("{line}\n").as_bytes()).is_err()
        {
            // Somebody ended it. We still end our groups ourselves, as long as we live.
            self.0 = None;
        }
    }
}
