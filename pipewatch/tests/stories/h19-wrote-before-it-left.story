# H19: the command wrote while the shell slept, ended, and the shell slept again,
# all between two looks at who sleeps.
0ms     process 500 bash
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     501 dup 4 1
5ms     501 close 4
6ms     501 close 3
7ms     500 read 3
20ms    501 fork 502
21ms    502 exec sleep
52ms    501 write 1
53ms    501 exit
54ms    500 read 3
expect by 1310ms: hang, orphaned, fork, likely, reader 500, holders 502
silence until 9s
