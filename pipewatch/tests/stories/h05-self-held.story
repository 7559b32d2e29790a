# H5 (a): the only write end is in the reader's own, only thread.
0ms     process 500 reader
1ms     500 pipe 3 4
2ms     500 read 3
expect by 1252ms: hang, self-held, likely, exact, reader 500, holders 500, 500 is itself
silence until 20s
