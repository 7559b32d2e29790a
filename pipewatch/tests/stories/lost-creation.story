# H20: exec 5> >(cat); sleep 30 & exec 5>&-; wait. That the shell made the pipe is lost,
# but not that it put the end at its number. It is above the reader: no command that
# has ended, but as likely as anybody the maker.
0ms     process 500 bash
1ms     lose 1
1ms     500 pipe 62 63
300ms   500 fork 501
301ms   501 dup 62 0
301ms   501 close 62
301ms   501 close 63
301ms   501 exec cat
302ms   500 close 62
303ms   500 dup 63 5
303ms   500 close 63
304ms   501 read 0
305ms   500 fork 502
306ms   502 exec sleep
307ms   500 close 5
308ms   500 waitpid 501
expect by 1560ms: hang, leaked, exec, likely, inferred, reader 501, holders 502
silence until 20s
