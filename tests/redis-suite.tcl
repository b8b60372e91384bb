# Sourced by Redis's test suite after its own helpers. The suite reads logs with a parser of its own that knows commands
# only; a log of ours also holds comment lines (checksums), which redis-server skips when it loads a log. So they are
# skipped here, and nothing else is changed.

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
