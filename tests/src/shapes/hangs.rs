//! Shapes that must be reported.

use super::answer::{in_flight, leaked, orphaned, self_held};
use super::command::Script::{Bash, Java, Node, Perl, Python, Scenario};
use super::{Shape, hang};

pub(super) const HANGS: &[Shape] = &[
    hang(
        "H1",
        "fork-race",
        Python(
            r"
import multiprocessing
r, w = os.pipe()
worker = multiprocessing.get_context('fork').Process(target=doze)
updater = threading.Thread(target=worker.start)
updater.start()
updater.join()
os.close(w)
os.read(r, 1)",
        ),
        leaked("fork-race"),
    ),
    hang(
        "H2",
        "fork-no-close",
        Python("os.read(leak(), 1)"),
        leaked("fork"),
    ),
    hang(
        "H2",
        "fork-no-close-busy",
        Python(
            r"
def burn():
    end = time.monotonic() + S
    while time.monotonic() < end: pass
r, w = os.pipe()
child(burn)
os.close(w)
os.read(r, 1)",
        ),
        leaked("fork"),
    ),
    hang(
        "H3",
        "exec-no-cloexec",
        Python(
            r"
r, w = os.pipe()
os.dup2(w, 63, inheritable=True)
subprocess.Popen(['sleep', str(S)], close_fds=False)
os.close(w)
os.close(63)
os.read(r, 1)",
        ),
        leaked("exec").holders(&["sleep"]),
    ),
    hang(
        "H3",
        "exec-no-cloexec-poll",
        Python(
            r"
r, w = os.pipe()
os.set_inheritable(w, True)
subprocess.Popen(['sleep', str(S)], close_fds=False)
os.close(w)
p = select.poll()
p.register(r, select.POLLIN)
p.poll()",
        ),
        leaked("exec").call("poll").holders(&["sleep"]),
    ),
    hang(
        "H4",
        "exec-status",
        Python(
            r"
fork_exec = subprocess._fork_exec
def race(*args):
    other = threading.Thread(target=child, args=(doze,))
    other.start()
    other.join()
    return fork_exec(*args)
subprocess._fork_exec = race
subprocess.Popen(['true'], preexec_fn=lambda: None).wait()",
        ),
        leaked("fork-race"),
    ),
    hang(
        "H4",
        "exec-status-rust",
        Scenario,
        leaked("fork-race")
            .kind("socketpair")
            .call("recv")
            .reader("scenario")
            .holders(&["updater"]),
    ),
    hang(
        "H5",
        "self-held",
        Python(
            r"
signal.alarm(4)
r, w = os.pipe()
os.read(r, 1)",
        ),
        self_held("unknown"),
    ),
    hang(
        "H5",
        "own-stdin",
        Python(
            r"
r, w = os.pipe()
def cat():
    os.dup2(r, 0)
    os.set_inheritable(w, True)
    signal.alarm(4)
    os.execvp('cat', ['cat', '-', sys.argv[1]])
child(cat)
os.close(r)
os.close(w)
os.wait()",
        ),
        self_held("exec").reader("cat").holders(&["cat"]),
    ),
    hang(
        "H6",
        "private-table",
        Python(
            r"
CLONE_FILES = 0x400
ready = threading.Event()
def hide():
    libc.unshare(CLONE_FILES)
    ready.set()
    doze()
r, w = os.pipe()
threading.Thread(target=hide).start()
ready.wait()
os.close(w)
os.read(r, 1)",
        ),
        self_held("unknown").outcomes(&["eof"]),
    ),
    hang(
        "H6",
        "dead-leader",
        Python(
            r"
def leave():
    threading.Thread(target=lambda: (doze(), os._exit(0))).start()
    libc.pthread_exit(None)
r, w = os.pipe()
child(leave)
os.close(w)
os.read(r, 1)",
        ),
        leaked("fork"),
    ),
    hang(
        "H7",
        "daemon-stdio",
        Python("subprocess.run(['sh', '-c', f'sleep {S} & echo ok'], stdout=subprocess.PIPE)"),
        orphaned("fork"),
    ),
    hang(
        "H7",
        "daemon-stdio-poll",
        Python(
            r"
PIPE = subprocess.PIPE
subprocess.run(['sh', '-c', f'sleep {S} 2>/dev/null & echo ok'], stdout=PIPE, stderr=PIPE)",
        ),
        orphaned("fork").call("poll"),
    ),
    hang(
        "H7",
        "asyncio",
        Python(
            r"
import asyncio
async def main():
    command = await asyncio.create_subprocess_shell(f'sleep {S} & echo ok', stdout=subprocess.PIPE)
    await command.stdout.read()
asyncio.run(main())",
        ),
        orphaned("fork").call("epoll"),
    ),
    hang(
        "H7",
        "perl-qx",
        Perl("my $x = `sleep $ENV{S} & echo ok`"),
        orphaned("fork").reader("perl"),
    ),
    hang(
        "H7",
        "perl-open",
        Perl(r#"open(my $h, "-|", "sleep $ENV{S} & echo ok"); 1 while <$h>"#),
        orphaned("fork").reader("perl"),
    ),
    // Its reaper would drain and close the pipe if the command ended while
    // nobody was in a read.
    hang(
        "H7",
        "java",
        Java("sleep $S & echo ok; sleep 0.5"),
        orphaned("fork").reader("java"),
    ),
    hang(
        "H7",
        "git-hook",
        Bash(
            r#"
repository=$(mktemp -d)
git init -q $repository
printf '#!/bin/sh\nsleep %s &\n' $S >$repository/.git/hooks/post-commit
chmod +x $repository/.git/hooks/post-commit
x=$(git -C $repository -c user.name=x -c user.email=x commit -q --allow-empty -m x 2>&1)
rm -rf $repository"#,
        ),
        orphaned("fork").reader("bash"),
    ),
    hang(
        "H8",
        "odd-fd",
        Bash("x=$( (exec 9>&1; sleep $S >/dev/null 2>&1 &); echo hi )"),
        orphaned("fork").reader("bash"),
    ),
    // One dies, which is EOF for the other.
    hang(
        "H9",
        "siblings",
        Python(
            r"
pipes = [os.pipe(), os.pipe()]
def worker(r, w, life):
    signal.alarm(life)
    os.close(w)
    os.read(r, 1)
child(lambda: worker(*pipes[0], 4))
child(lambda: worker(*pipes[1], 9))
for r, w in pipes: os.close(r); os.close(w)
os.wait()
os.wait()",
        ),
        leaked("fork").outcomes(&["reader-gone", "eof"]),
    ),
    hang(
        "H10",
        "middle-parent",
        Python(
            r"
r, w = os.pipe()
def write():
    os.close(r)
    os.write(w, b'x')
def read():
    signal.alarm(4)
    os.close(w)
    while os.read(r, 9): pass
children = [child(write), child(read)]
for pid in children: os.waitpid(pid, 0)",
        ),
        leaked("fork").outcomes(&["reader-gone"]),
    ),
    hang(
        "H10",
        "middle-parent-select",
        Python(
            r"
r, w = os.pipe()
def write():
    os.close(r)
    os.write(w, b'x')
def read():
    signal.alarm(4)
    os.close(w)
    while select.select([r], [], [])[0] and os.read(r, 9): pass
children = [child(write), child(read)]
for pid in children: os.waitpid(pid, 0)",
        ),
        leaked("fork").call("select").outcomes(&["reader-gone"]),
    ),
    hang(
        "H11",
        "chain",
        Bash("x=$( y=$(sleep $S & echo a); echo $y )"),
        orphaned("fork").reader("bash"),
    ),
    hang(
        "H11",
        "chain-fifo",
        Bash(
            r"
f=$(mktemp -u)
mkfifo $f
sh -c 'sleep $S & echo x' | cat >$f &
cat $f
rm $f",
        ),
        orphaned("fork").reader("cat"),
    ),
    hang(
        "H11",
        "chain-waitpid",
        Python(
            r"
from multiprocessing import resource_tracker
resource_tracker.ensure_running()
child(doze)
resource_tracker._resource_tracker._stop()",
        ),
        leaked("fork"),
    ),
    hang(
        "H12",
        "orphan-pool",
        Python(
            r"
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
def work():
    fork = multiprocessing.get_context('fork')
    pool = ProcessPoolExecutor(2, fork, initializer=signal.alarm, initargs=(4,))
    list(pool.map(abs, [1, 2]))
    os.kill(os.getpid(), signal.SIGKILL)
child(work)
os.wait()
time.sleep(5)",
        ),
        leaked("fork").outcomes(&["reader-gone"]),
    ),
    hang(
        "H13",
        "in-flight",
        Python(
            r"
a, b = socket.socketpair()
r, w = os.pipe()
socket.send_fds(a, [b'x'], [w])
os.close(w)
signal.alarm(4)
os.read(r, 1)",
        ),
        in_flight(),
    ),
    hang(
        "H13",
        "in-flight-ring",
        Scenario,
        in_flight().reader("scenario"),
    ),
    hang(
        "H13",
        "passed",
        Python(
            r"
a, b = socket.socketpair()
def keep():
    a.close()
    socket.recv_fds(b, 1, 1)
    doze()
child(keep)
b.close()
r, w = os.pipe()
socket.send_fds(a, [b'x'], [w])
os.close(w)
os.read(r, 1)",
        ),
        leaked("passed"),
    ),
    hang(
        "H13",
        "passed-on",
        Python(
            r"
a, b = socket.socketpair()
c, d = socket.socketpair()
def relay():
    fds = socket.recv_fds(b, 1, 1)[1]
    socket.send_fds(c, [b'x'], fds)
    doze()
child(relay)
child(lambda: socket.recv_fds(d, 1, 1))
r, w = os.pipe()
socket.send_fds(a, [b'x'], [w])
os.close(w)
os.read(r, 1)",
        ),
        leaked("passed"),
    ),
    hang(
        "H13",
        "pidfd-getfd",
        Python(
            r"
PIDFD_GETFD = 438
a, b = socket.socketpair()
def take():
    w = int(b.recv(9))
    libc.syscall(PIDFD_GETFD, os.pidfd_open(os.getppid()), w, 0)
    b.send(b'x')
    doze()
child(take)
r, w = os.pipe()
a.send(b'%d' % w)
a.recv(1)
os.close(w)
os.read(r, 1)",
        ),
        leaked("passed"),
    ),
    hang(
        "H14",
        "poll",
        Python(
            r"
p = select.poll()
p.register(leak(), select.POLLIN)
p.poll()",
        ),
        leaked("fork").call("poll"),
    ),
    hang(
        "H14",
        "ppoll",
        Python(
            r"
class PollFd(ctypes.Structure):
    _fields_ = [('fd', ctypes.c_int), ('events', ctypes.c_short), ('revents', ctypes.c_short)]
libc.ppoll(ctypes.byref(PollFd(leak(), select.POLLIN, 0)), 1, None, None)",
        ),
        leaked("fork").call("poll"),
    ),
    hang(
        "H14",
        "select",
        Python("select.select([leak()], [], [])"),
        leaked("fork").call("select"),
    ),
    hang(
        "H14",
        "epoll",
        Python(
            r"
p = select.epoll()
p.register(leak(), select.EPOLLIN)
p.poll()",
        ),
        leaked("fork").call("epoll"),
    ),
    hang(
        "H15",
        "timed-select",
        Python(
            r"
r = leak()
while not select.select([r], [], [], 0.5)[0]: pass",
        ),
        leaked("fork").call("select"),
    ),
    hang(
        "H15",
        "timed-poll",
        Python(
            r"
p = select.poll()
p.register(leak(), select.POLLIN)
while not p.poll(100): pass",
        ),
        leaked("fork").call("poll"),
    ),
    hang(
        "H16",
        "splice",
        Python("os.splice(leak(), os.open('/dev/null', os.O_WRONLY), 10)"),
        leaked("fork").call("splice"),
    ),
    hang(
        "H16",
        "tee",
        Python(
            r"
other_r, other_w = os.pipe()
libc.tee(leak(), other_w, 10, 0)",
        ),
        leaked("fork").call("tee"),
    ),
    hang(
        "H16",
        "ring-read",
        Scenario,
        leaked("fork")
            .call("io_uring")
            .reader("scenario")
            .holders(&["scenario"]),
    ),
    hang(
        "H16",
        "ring-read-async",
        Scenario,
        leaked("fork")
            .call("io_uring")
            .reader("scenario")
            .holders(&["scenario"]),
    ),
    hang(
        "H17",
        "socketpair",
        Python(
            r"
a, b = socket.socketpair()
child(doze)
b.close()
a.recv(1)",
        ),
        leaked("fork").kind("socketpair").call("recv"),
    ),
    hang(
        "H17",
        "socketpair-stdio",
        Python(
            r"
a, b = socket.socketpair()
subprocess.Popen(['sh', '-c', f'sleep {S} & echo ok'], stdout=b).wait()
b.close()
while a.recv(9): pass",
        ),
        orphaned("fork").kind("socketpair").call("recv"),
    ),
    // Output and error output, which sleep has both.
    hang(
        "H17",
        "node",
        Node(
            r"
const { spawn } = require('child_process');
const command = spawn('sh', ['-c', `sleep ${process.env.S} & echo ok`]);
command.stdout.resume();
command.stderr.resume();",
        ),
        orphaned("fork")
            .kind("socketpair")
            .call("epoll")
            .reader("node")
            .outcomes(&["eof", "eof"]),
    ),
    hang(
        "H18",
        "fifo-writer",
        Bash(
            r"
f=$(mktemp -u)
mkfifo $f
( exec 8>$f; echo x >&8; sleep $S & ) &
cat $f
rm $f",
        ),
        orphaned("fork").kind("fifo").reader("cat"),
    ),
    hang(
        "H19",
        "command-substitution",
        Bash("x=$(sleep $S & echo ok)"),
        orphaned("fork").reader("bash"),
    ),
    hang(
        "H19",
        "tmux",
        Bash(
            r#"
socket=pipewatch-$$
tmux -L $socket -f /dev/null new-session -d -s $0 "bash --norc -s $0"
tmux -L $socket send-keys "x=\$(sleep $S & echo ok); tmux wait-for -S done" Enter
tmux -L $socket wait-for done
tmux -L $socket kill-server"#,
        ),
        orphaned("fork").reader("bash"),
    ),
    hang(
        "H20",
        "process-substitution",
        Bash("cat <(sleep $S & echo x)"),
        orphaned("fork").reader("cat"),
    ),
    hang(
        "H20",
        "process-substitution-out",
        Bash("exec 5> >(cat >/dev/null); p=$!; sleep $S & exec 5>&-; wait $p"),
        leaked("exec").reader("cat").holders(&["sleep"]),
    ),
    hang(
        "H20",
        "coproc",
        Bash(
            r"
coproc K { cat; }
exec 7>&${K[1]} 8<&${K[0]}
{ sleep $S; :; } &
exec 7>&-
w=${K[1]}
exec {w}>&-
cat <&8",
        ),
        leaked("fork").reader("cat").holders(&["bash"]),
    ),
    hang(
        "H21",
        "jobserver-dup",
        Bash(
            r"
style=--jobserver-style=pipe
make $style -v >/dev/null 2>&1 || style= # make 4.3 knows no other
make $style -s -j4 -f <(printf 'all:\n\t+sleep %s >/dev/null 2>&1 </dev/null &\n' $S)",
        ),
        leaked("exec").reader("make").holders(&["sleep"]),
    ),
    hang(
        "H22",
        "pid-namespace",
        Python(
            r"
box = subprocess.Popen(['unshare', '-pf', '--mount-proc', 'sleep', '6'])
children = f'/proc/{box.pid}/task/{box.pid}/children'
while not (init := open(children).read().split()): time.sleep(0.01)
enter = ['nsenter', '-t', init[0], '-p']
subprocess.run([*enter, 'sh', '-c', f'sleep {S} & echo ok'], stdout=subprocess.PIPE)
box.kill()",
        ),
        orphaned("fork"),
    ),
    hang(
        "H23",
        "temporary",
        Bash("(sleep $S & echo ok) | cat"),
        orphaned("fork").reader("cat"),
    ),
    // Told, as likely: until it answers, it looks like fork-no-close.
    hang(
        "result-pipe",
        "late-answer",
        Python(
            r"
r, w = os.pipe()
child(lambda: (doze(), os.write(w, b'x')))
os.close(w)
os.read(r, 1)",
        ),
        leaked("fork").outcomes(&["data"]),
    ),
];
