# The end of the only watched process is lost. It is noticed all the same.
0ms     process 500 server
0ms     attach 500
1ms     500 pipe 3 4
2ms     lose 1
2ms     500 exit
1000ms  process 600 other
expect idle
