//! Shapes of hangs and healthy waits, enacted by shells and Python, with what
//! is to be said of each.

use std::process::Command;

/// A situation, and the right answer.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Name, unique.
    pub name: &'static str,
    /// What runs.
    pub program: Script,
    /// Verdict and cause; `None` if nothing is to be reported.
    pub expected: Option<(&'static str, &'static str)>,
}

/// Source text.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// For bash. `$S` is how long to sleep, a number that tells the shape.
    Bash(&'static str),
    /// For Python 3.
    Python(&'static str),
}

use Script::{Bash, Python};

const fn hang(
    name: &'static str,
    verdict: &'static str,
    cause: &'static str,
    program: Script,
) -> Shape {
    Shape {
        name,
        program,
        expected: Some((verdict, cause)),
    }
}

const fn healthy(name: &'static str, program: Script) -> Shape {
    Shape {
        name,
        program,
        expected: None,
    }
}

/// All of them.
pub const SHAPES: &[Shape] = &[
    hang(
        "fork-no-close",
        "leaked",
        "fork",
        Python(
            "r, w = os.pipe()\nif os.fork() == 0: time.sleep(4); os._exit(0)\nos.close(w); os.read(r, 1)",
        ),
    ),
    // Told, as likely: until it answers, it looks like the one before.
    hang(
        "late-answer",
        "leaked",
        "fork",
        Python(
            "r, w = os.pipe()\nif os.fork() == 0: time.sleep(4); os.write(w, b'x'); os._exit(0)\nos.close(w); os.read(r, 1)",
        ),
    ),
    hang(
        "fork-no-close-busy",
        "leaked",
        "fork",
        Python(
            "r, w = os.pipe()\nend = time.monotonic() + 4\nif os.fork() == 0:\n  while time.monotonic() < end: pass\n  os._exit(0)\nos.close(w); os.read(r, 1)",
        ),
    ),
    hang(
        "fork-race",
        "leaked",
        "fork-race",
        Python(
            "import multiprocessing\nr, w = os.pipe()\nc = multiprocessing.get_context('fork').Process(target=time.sleep, args=(4,))\nt = threading.Thread(target=c.start); t.start(); t.join()\nos.close(w); os.read(r, 1)",
        ),
    ),
    hang(
        "exec-no-cloexec",
        "leaked",
        "exec",
        Python(
            "r, w = os.pipe(); os.dup2(w, 63, inheritable=True)\nsubprocess.Popen(['sleep', '4'], close_fds=False)\nos.close(w); os.close(63); os.read(r, 1)",
        ),
    ),
    hang(
        "self-held",
        "self-held",
        "unknown",
        Python("signal.alarm(4); r, w = os.pipe(); os.read(r, 1)"),
    ),
    hang(
        "own-stdin",
        "self-held",
        "exec",
        Python(
            "r, w = os.pipe()\nif os.fork() == 0:\n  os.dup2(r, 0); os.set_inheritable(w, True); signal.alarm(4); os.execvp('cat', ['cat', '-', sys.argv[1]])\nos.close(r); os.close(w); os.wait()",
        ),
    ),
    hang(
        "hidden-table",
        "leaked",
        "fork",
        Python(
            "r, w = os.pipe()\nif os.fork() == 0:\n  threading.Thread(target=lambda: (time.sleep(4), os._exit(0))).start()\n  ctypes.CDLL(None).syscall(60, 0)\nos.close(w); os.read(r, 1)",
        ),
    ),
    hang(
        "daemon-stdio",
        "orphaned",
        "fork",
        Python("subprocess.run(['sh', '-c', 'sleep 4 & echo ok'], stdout=subprocess.PIPE)"),
    ),
    hang(
        "odd-fd",
        "orphaned",
        "fork",
        Bash("x=$( (exec 9>&1; sleep $S >/dev/null 2>&1 &); echo hi )"),
    ),
    hang(
        "siblings",
        "leaked",
        "fork",
        Python(
            "p = [os.pipe(), os.pipe()]\nfor i in 0, 1:\n  if os.fork() == 0: signal.alarm(4); os.close(p[i][1]); os.read(p[i][0], 1)\n[os.close(e) for q in p for e in q]\nos.wait(); os.wait()",
        ),
    ),
    hang(
        "middle-parent",
        "leaked",
        "fork",
        Python(
            "r, w = os.pipe()\na = os.fork()\nif a == 0: os.close(r); os.write(w, b'x'); os._exit(0)\nb = os.fork()\nif b == 0:\n  signal.alarm(4); os.close(w)\n  while os.read(r, 9): pass\n  os._exit(0)\nos.waitpid(a, 0); os.waitpid(b, 0)",
        ),
    ),
    hang(
        "chain",
        "orphaned",
        "fork",
        Bash("x=$( y=$(sleep $S & echo a); echo $y )"),
    ),
    hang(
        "orphan-pool",
        "leaked",
        "fork",
        Python(
            "from concurrent.futures import ProcessPoolExecutor as P\nimport multiprocessing\nif os.fork() == 0:\n  e = P(2, mp_context=multiprocessing.get_context('fork'), initializer=signal.alarm, initargs=(4,)); list(e.map(abs, [1, 2])); os.kill(os.getpid(), 9)\nos.wait(); time.sleep(5)",
        ),
    ),
    hang(
        "in-flight",
        "in-flight",
        "passed",
        Python(
            "a, b = socket.socketpair(); r, w = os.pipe()\nsocket.send_fds(a, [b'x'], [w]); os.close(w)\nsignal.alarm(4); os.read(r, 1)",
        ),
    ),
    hang(
        "fifo-writer",
        "orphaned",
        "fork",
        Bash("f=$(mktemp -u); mkfifo $f; ( exec 8>$f; echo x >&8; sleep $S & ) & cat $f; rm $f"),
    ),
    hang(
        "command-substitution",
        "orphaned",
        "fork",
        Bash("x=$(sleep $S & echo ok)"),
    ),
    hang(
        "process-substitution",
        "orphaned",
        "fork",
        Bash("cat <(sleep $S & echo x)"),
    ),
    hang(
        "coproc",
        "leaked",
        "fork",
        Bash(
            "coproc K { cat; }; exec 7>&${K[1]} 8<&${K[0]}; { sleep $S; :; } & exec 7>&-; w=${K[1]}; exec {w}>&-; cat <&8",
        ),
    ),
    hang(
        "jobserver-dup",
        "leaked",
        "exec",
        Bash("make -s -j2 -f <(printf 'all:\\n\\t+sleep %s >/dev/null 2>&1 </dev/null &\\n' $S)"),
    ),
    hang(
        "poll",
        "leaked",
        "fork",
        Python(
            "import select\nr, w = os.pipe()\nif os.fork() == 0: time.sleep(4); os._exit(0)\nos.close(w); p = select.poll(); p.register(r, select.POLLIN); p.poll()",
        ),
    ),
    hang(
        "select",
        "leaked",
        "fork",
        Python(
            "import select\nr, w = os.pipe()\nif os.fork() == 0: time.sleep(4); os._exit(0)\nos.close(w); select.select([r], [], [])",
        ),
    ),
    hang(
        "timed-select",
        "leaked",
        "fork",
        Python(
            "import select\nr, w = os.pipe()\nif os.fork() == 0: time.sleep(4); os._exit(0)\nos.close(w)\nwhile not select.select([r], [], [], 0.5)[0]: pass",
        ),
    ),
    hang(
        "epoll",
        "leaked",
        "fork",
        Python(
            "import select\nr, w = os.pipe()\nif os.fork() == 0: time.sleep(4); os._exit(0)\nos.close(w); p = select.epoll(); p.register(r, select.EPOLLIN); p.poll()",
        ),
    ),
    hang(
        "daemon-stdio-poll",
        "orphaned",
        "fork",
        Python(
            "subprocess.run(['sh', '-c', 'sleep 4 2>/dev/null & echo ok'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)",
        ),
    ),
    hang(
        "asyncio",
        "orphaned",
        "fork",
        Python(
            "import asyncio\nasync def main():\n  p = await asyncio.create_subprocess_shell('sleep 4 & echo ok', stdout=subprocess.PIPE)\n  await p.stdout.read()\nasyncio.run(main())",
        ),
    ),
    healthy(
        "communicate-poll",
        Python(
            "subprocess.run(['sh', '-c', 'sleep 4; echo ok'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)",
        ),
    ),
    healthy("slow-pipeline", Bash("sleep $S | cat")),
    healthy("slow-subshell", Bash("(sleep $S; echo done) | cat")),
    healthy("slow-command", Bash("x=$(sleep $S; echo ok)")),
    healthy(
        "slow-child",
        Python("subprocess.run(['sh', '-c', 'sleep 4; echo ok'], stdout=subprocess.PIPE)"),
    ),
    healthy(
        "slow-fifo",
        Bash("f=$(mktemp -u); mkfifo $f; sleep $S > $f & cat $f; rm $f"),
    ),
    healthy(
        "sentinel",
        Python(
            "r, w = os.pipe()\nif os.fork() == 0: os.close(r); time.sleep(4); os._exit(0)\nos.close(w); os.read(r, 1)",
        ),
    ),
    healthy(
        "lifeline",
        Python(
            "r, w = os.pipe()\nif os.fork() == 0: os.close(w); os.read(r, 1); os._exit(0)\nos.close(r); time.sleep(4)",
        ),
    ),
    healthy(
        "control-pipe",
        Python(
            "r, w = os.pipe()\nthreading.Thread(target=lambda: (time.sleep(4), os.write(w, b'x'))).start()\nos.read(r, 1)",
        ),
    ),
    healthy(
        "pool",
        Python(
            "import multiprocessing\nwith multiprocessing.get_context('fork').Pool(2) as p: p.map(abs, [1, 2]); time.sleep(4)",
        ),
    ),
    healthy(
        "executor",
        Python(
            "from concurrent.futures import ProcessPoolExecutor as P\nimport multiprocessing\nwith P(2, mp_context=multiprocessing.get_context('fork')) as e: list(e.map(abs, [1, 2])); time.sleep(4)",
        ),
    ),
    healthy(
        "jobserver",
        Bash("make -s -j2 -f <(printf 'all: a b c\\na b c:\\n\\t+@sleep %s\\n' $S)"),
    ),
    healthy("coproc-idle", Bash("coproc cat; sleep $S; kill %1")),
    healthy(
        "good",
        Python("r, w = os.pipe(); os.close(w); os.read(r, 10); time.sleep(4)"),
    ),
];

impl Shape {
    /// Its number, from 1.
    fn number(&self) -> usize {
        let place = SHAPES.iter().position(|shape| shape.name == self.name);
        place.map_or(0, |place| place + 1)
    }

    /// How long its shell sleeps: about four seconds, in no other shape as long.
    fn seconds(&self) -> String {
        format!("4.{:03}", self.number())
    }

    /// What enacts it.
    pub fn command(&self) -> Command {
        let mut command;
        match self.program {
            Bash(script) => {
                command = Command::new("bash");
                command
                    .args(["-c", script, self.name])
                    .env("S", self.seconds());
            }
            Python(script) => {
                let imports =
                    "import ctypes, os, signal, socket, subprocess, sys, threading, time\n";
                command = Command::new("python3");
                command.args(["-c", &(imports.to_owned() + script), self.name]);
            }
        }
        command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        command
    }

    /// Whether one of the command lines in a record is of this shape.
    pub fn is_in(&self, record: &serde_json::Value) -> bool {
        let parties = record["holders"].as_array().into_iter().flatten();
        let mut words = parties
            .chain([&record["reader"]])
            .flat_map(|party| party["cmdline"].as_array());
        let seconds = self.seconds();
        words.any(|words| {
            words
                .iter()
                .any(|word| word == self.name || *word == *seconds)
        })
    }
}
