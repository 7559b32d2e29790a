//! Waits that must never be reported.

use super::command::Script::{Bash, Java, Node, Perl, Python};
use super::{Shape, healthy};

pub(super) const HEALTHY: &[Shape] = &[
    healthy("slow-pipeline", "slow-pipeline", Bash("sleep $S | cat")),
    healthy(
        "slow-pipeline",
        "slow-subshell",
        Bash("(sleep $S; echo done) | cat"),
    ),
    healthy(
        "slow-pipeline",
        "slow-fifo",
        Bash("f=$(mktemp -u); mkfifo $f; sleep $S >$f & cat $f; rm $f"),
    ),
    healthy(
        "slow-pipeline",
        "slow-process-substitution",
        Bash("cat <(sleep $S; echo x)"),
    ),
    healthy(
        "slow-pipeline",
        "tail-grep",
        Bash("f=$(mktemp); echo x >$f; timeout $S tail -f $f | grep x; rm $f"),
    ),
    healthy(
        "slow-pipeline",
        "make-tee",
        Bash(r"make -s -f <(printf 'all:\n\t@sleep %s\n' $S) | tee /dev/null"),
    ),
    healthy("slow-child", "slow-command", Bash("x=$(sleep $S; echo ok)")),
    healthy(
        "slow-child",
        "slow-child",
        Python("subprocess.run(['sh', '-c', f'sleep {S}; echo ok'], stdout=subprocess.PIPE)"),
    ),
    healthy(
        "slow-child",
        "slow-child-poll",
        Python(
            r"
PIPE = subprocess.PIPE
subprocess.run(['sh', '-c', f'sleep {S}; echo ok'], stdout=PIPE, stderr=PIPE)",
        ),
    ),
    healthy(
        "slow-child",
        "computing-child",
        Bash(
            r#"x=$(bash -c 'end=$((SECONDS + 4)); while ((SECONDS < end)); do :; done; echo ok' $0)"#,
        ),
    ),
    healthy(
        "slow-child",
        "asyncio-slow",
        Python(
            r"
import asyncio
async def main():
    command = await asyncio.create_subprocess_shell(f'sleep {S}; echo ok', stdout=subprocess.PIPE)
    await command.stdout.read()
asyncio.run(main())",
        ),
    ),
    healthy(
        "slow-child",
        "node-slow",
        Node(
            r"
const { spawn } = require('child_process');
const command = spawn('sh', ['-c', `sleep ${process.env.S}; echo ok`]);
command.stdout.resume();
command.stderr.resume();",
        ),
    ),
    healthy(
        "slow-child",
        "perl-qx-slow",
        Perl("my $x = `sleep $ENV{S}; echo ok`"),
    ),
    healthy(
        "slow-child",
        "perl-open-slow",
        Perl(r#"open(my $h, "-|", "sleep $ENV{S}; echo ok"); 1 while <$h>"#),
    ),
    healthy("slow-child", "java-slow", Java("sleep $S; echo ok")),
    healthy(
        "slow-child",
        "git-hook-slow",
        Bash(
            r#"
repository=$(mktemp -d)
git init -q $repository
printf '#!/bin/sh\nsleep %s\n' $S >$repository/.git/hooks/post-commit
chmod +x $repository/.git/hooks/post-commit
x=$(git -C $repository -c user.name=x -c user.email=x commit -q --allow-empty -m x 2>&1)
rm -rf $repository"#,
        ),
    ),
    healthy(
        "sentinel",
        "sentinel",
        Python(
            r"
r, w = os.pipe()
child(lambda: (os.close(r), doze()))
os.close(w)
os.read(r, 1)",
        ),
    ),
    healthy(
        "sentinel",
        "multiprocessing",
        Python(
            r"
import multiprocessing.connection
worker = multiprocessing.get_context('fork').Process(target=doze)
worker.start()
multiprocessing.connection.wait([worker.sentinel])",
        ),
    ),
    healthy(
        "result-pipe",
        "second-answer",
        Python(
            r"
r, w = os.pipe()
child(lambda: (os.write(w, b'1'), doze(), os.write(w, b'2')))
os.close(w)
while os.read(r, 1): pass",
        ),
    ),
    healthy(
        "control-pipe",
        "control-pipe",
        Python(
            r"
r, w = os.pipe()
threading.Thread(target=lambda: (doze(), os.write(w, b'x'))).start()
os.read(r, 1)",
        ),
    ),
    healthy(
        "wake-pipe",
        "wake-pipe",
        Python(
            r"
r, w = os.pipe2(os.O_NONBLOCK)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.set_wakeup_fd(w)
p = select.epoll()
p.register(r, select.EPOLLIN)
p.register(os.eventfd(0), select.EPOLLIN)
signal.setitimer(signal.ITIMER_REAL, S)
p.poll()",
        ),
    ),
    healthy(
        "wake-pipe",
        "asyncio-idle",
        Python("import asyncio; asyncio.run(asyncio.sleep(S))"),
    ),
    healthy(
        "jobserver",
        "jobserver",
        // Five jobs for four: make waits for a token.
        Bash(r"make -s -j4 -f <(printf '%s: a b c d e\na b c d e:\n\t+@sleep 2.5\n' $0) $0"),
    ),
    healthy(
        "lifeline",
        "lifeline",
        Python(
            r"
r, w = os.pipe()
child(lambda: (os.close(w), os.read(r, 1)))
os.close(r)
doze()",
        ),
    ),
    healthy(
        "helper-service",
        "resource-tracker",
        Python(
            r"
from multiprocessing import resource_tracker
resource_tracker.ensure_running()
doze()",
        ),
    ),
    healthy(
        "helper-service",
        "forkserver",
        Python(
            r"
import multiprocessing
worker = multiprocessing.get_context('forkserver').Process(target=time.sleep, args=(S,))
worker.start()
worker.join()",
        ),
    ),
    healthy(
        "idle-pool",
        "pool",
        Python(
            r"
import multiprocessing
with multiprocessing.get_context('fork').Pool(2) as pool:
    pool.map(abs, [1, 2])
    doze()",
        ),
    ),
    healthy(
        "idle-pool",
        "executor",
        Python(
            r"
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
with ProcessPoolExecutor(2, multiprocessing.get_context('fork')) as pool:
    list(pool.map(abs, [1, 2]))
    doze()",
        ),
    ),
    healthy(
        "idle-pool",
        "simple-queue",
        Python(
            r"
import multiprocessing
fork = multiprocessing.get_context('fork')
queue = fork.SimpleQueue()
def work():
    while queue.get(): pass
workers = [fork.Process(target=work), fork.Process(target=work)]
for worker in workers: worker.start()
queue.put(1)
queue.put(2)
doze()
for worker in workers: queue.put(None)
for worker in workers: worker.join()",
        ),
    ),
    healthy(
        "log-pipeline",
        "log-pipeline",
        Python(
            r"
r, w = os.pipe()
logger = subprocess.Popen(['cat'], stdin=r, stdout=subprocess.DEVNULL)
os.close(r)
subprocess.run(['echo', 'service starts'], stdout=w)
doze()
subprocess.run(['echo', 'service starts again'], stdout=w)
os.close(w)
logger.wait()",
        ),
    ),
    healthy(
        "terminal",
        "tmux-idle",
        Bash(
            r#"
socket=pipewatch-$$
tmux -L $socket -f /dev/null new-session -d -s $0 "bash --norc -s $0"
sleep $S
tmux -L $socket kill-server"#,
        ),
    ),
    healthy(
        "idle-socket",
        "idle-socket",
        Python(
            r"
a, b = socket.socketpair()
child(lambda: (a.close(), b.recv(1)))
b.close()
doze()
a.send(b'x')
os.wait()",
        ),
    ),
    healthy(
        "tool-server",
        "coproc-idle",
        Bash("coproc cat; sleep $S; kill %1"),
    ),
    healthy(
        "tool-server",
        "repl",
        Python(
            r"
PIPE = subprocess.PIPE
server = subprocess.Popen(['sed', '-u', 's/^/> /'], stdin=PIPE, stdout=PIPE)
server.stdin.write(b'1\n')
server.stdin.flush()
server.stdout.readline()
doze()
server.communicate(b'2\n')",
        ),
    ),
    healthy(
        "broker",
        "broker",
        Python(
            r"
pairs = [socket.socketpair() for _ in range(3)]
for _, theirs in pairs:
    child(lambda: (socket.recv_fds(theirs, 1, 1), theirs.recv(1)))
channel = socket.socketpair()
for ours, _ in pairs: socket.send_fds(ours, [b'x'], [channel[1].fileno()])
doze()
for ours, _ in pairs: ours.send(b'x')
for _ in pairs: os.wait()",
        ),
    ),
    healthy(
        "fifo-kept-open",
        "fifo-kept-open",
        Bash(
            r"
f=$(mktemp -u)
mkfifo $f
exec 3<>$f
cat $f 3<&- &
sleep $S 3<&-
kill $!
rm $f",
        ),
    ),
    healthy(
        "fifo-no-writer",
        "fifo-no-writer",
        Bash("f=$(mktemp -u); mkfifo $f; timeout $S cat $f; rm $f"),
    ),
    healthy(
        "start-handshake",
        "start-handshake",
        Python(
            r"
r, w = os.pipe()
child(lambda: (os.close(r), doze(), os.write(w, b'ready')))
os.close(w)
os.read(r, 5)",
        ),
    ),
    healthy("pipe-full", "pipe-full", Bash("yes $0 | sleep $S")),
    healthy(
        "fork-exec-window",
        "fork-exec-window",
        Python(
            r"
def start():
    time.sleep(0.7)
    os.execvp('sleep', ['sleep', str(S)])
r, w = os.pipe()
child(start)
os.close(w)
os.read(r, 1)
doze()",
        ),
    ),
    healthy(
        "about-to-return",
        "good",
        Python(
            r"
r, w = os.pipe()
os.close(w)
os.read(r, 10)
doze()",
        ),
    ),
    healthy(
        "about-to-return",
        "trickle",
        Bash("for i in 1 2 3 4 5; do sleep 0.8; echo; done | cat"),
    ),
    healthy(
        "stopped-holder",
        "stopped-holder",
        Python(
            r"
r, w = os.pipe()
writer = subprocess.Popen(['sleep', str(S)], stdout=w)
os.close(w)
writer.send_signal(signal.SIGSTOP)
threading.Timer(S, writer.kill).start()
os.read(r, 1)",
        ),
    ),
    // Whoever opens the write end by its path means to use it.
    healthy(
        "H13",
        "opened-by-path",
        Python(
            r"
a, b = socket.socketpair()
def take():
    w = int(b.recv(9))
    os.open(f'/proc/{os.getppid()}/fd/{w}', os.O_WRONLY)
    b.send(b'x')
    doze()
child(take)
r, w = os.pipe()
a.send(b'%d' % w)
a.recv(1)
os.close(w)
os.read(r, 1)",
        ),
    ),
];
