//! MEMORY DOCTOR: what stands out among the figures of memory, in Redis's words. Knows the figures, not where they come
//! from.

/// What is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    /// Bytes in use.
    pub(super) used: usize,
    /// The most bytes that were in use at a time.
    pub(super) peak: usize,
    /// Bytes that the system has given to the process.
    pub(super) resident: usize,
    /// Clients that are no replicas.
    pub(super) clients: usize,
    /// Bytes that they take.
    pub(super) of_clients: usize,
    /// Cached scripts.
    pub(super) scripts: usize,
    /// The allocator's name.
    pub(super) allocator: &'static str,
}

/// Below this many bytes nothing can be said.
const TOO_SMALL: usize = 5 << 20;
/// Fewer bytes of fragmentation are nothing to speak of.
const FRAGMENTED: usize = 10 << 20;
/// A client with buffers of more bytes is a large one.
const LARGE_CLIENT: usize = 200 << 10;
/// More cached scripts are many.
const MANY_SCRIPTS: usize = 1000;

const EMPTY: &str = "Hi Sam, this instance is empty or is using very little memory, my issues detector can't be used in these conditions. Please, leave for your mission on Earth and fill it with some data. The new Sam and I will be back to our programming as soon as I finished rebooting.\n";
const HEALTHY: &str = "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n";
const BEGIN: &str = "Sam, I detected a few issues in this Redis instance memory implants:\n\n";
const END: &str = "I'm here to keep you safe, Sam. I want to help you.\n";

const PEAK: &str = " * Peak memory: In the past this instance used more than 150% the memory that is currently using. The allocator is normally not able to release memory after a peak, so you can expect to see a big fragmentation ratio, however this is actually harmless and is only due to the memory peak, and if the Redis instance Resident Set Size (RSS) is currently bigger than expected, the memory will be used as soon as you fill the Redis instance with more data. If the memory peak was only occasional and you want to try to reclaim memory, please try the MEMORY PURGE command, otherwise the only other option is to shutdown and restart the instance.\n\n";
const RESIDENT: &str = " * High total RSS: This instance has a memory fragmentation and RSS overhead greater than 1.4 (this means that the Resident Set Size of the Redis process is much larger than the sum of the logical allocations Redis performed). This problem is usually due either to a large peak memory (check if there is a peak memory entry above in the report) or may result from a workload that causes the allocator to fragment memory a lot. If the problem is a large peak memory, then there is no issue. Otherwise, make sure you are using the Jemalloc allocator and not the default libc malloc. Note: The currently used allocator is";
const CLIENTS: &str = " * Big client buffers: The clients output buffers in this instance are greater than 200K per client (on average). This may result from different causes, like Pub/Sub clients subscribed to channels bot not receiving data fast enough, so that data piles on the Redis instance output buffer, or clients sending commands with large replies or very large sequences of commands in the same pipeline. Please use the CLIENT LIST command in order to investigate the issue if it causes problems in your instance, or to understand better why certain clients are using a big amount of memory.\n\n";
const SCRIPTS: &str = " * Many scripts: There seem to be many cached scripts in this instance (more than 1000). This may be because scripts are generated and `EVAL`ed, instead of being parameterized (with KEYS and ARGV), `SCRIPT LOAD`ed and `EVALSHA`ed. Unless `SCRIPT FLUSH` is called periodically, the scripts' caches may end up consuming most of your memory.\n\n";

/// What is to be said of them.
pub(super) fn report(figures: &Figures) -> String {
    if figures.used < TOO_SMALL {
        return EMPTY.to_owned();
    }
    let fragmented = figures.resident.saturating_sub(figures.used);
    let mut issues = String::new();
    if figures.peak > figures.used / 2 * 3 {
        issues.push_str(PEAK);
    }
    if figures.resident > figures.used / 5 * 7 && fragmented > FRAGMENTED {
        issues.push_str(&format!("{RESIDENT} \"{}\".\n\n", figures.allocator));
    }
    if figures.of_clients > figures.clients.saturating_mul(LARGE_CLIENT) {
        issues.push_str(CLIENTS);
    }
    if figures.scripts > MANY_SCRIPTS {
        issues.push_str(SCRIPTS);
    }
    if issues.is_empty() {
        HEALTHY.to_owned()
    } else {
        format!("{BEGIN}{issues}{END}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(figures: Figures) -> Vec<String> {
        let report = report(&figures);
        let lines = report.lines().filter_map(|line| line.strip_prefix(" * "));
        let titles = lines.filter_map(|line| Some(line.split_once(':')?.0.to_owned()));
        titles.collect()
    }

    #[test]
    fn each_issue_is_told() {
        let well = Figures {
            used: 100 << 20,
            peak: 140 << 20,
            resident: 130 << 20,
            clients: 3,
            of_clients: 600 << 10,
            scripts: 1000,
            allocator: "libc",
        };
        assert_eq!(report(&well), HEALTHY);
        assert_eq!(report(&Figures::default()), EMPTY);
        let ill = Figures {
            peak: 151 << 20,
            resident: 141 << 20,
            of_clients: 601 << 10,
            scripts: 1001,
            ..well
        };
        let all = [
            "Peak memory",
            "High total RSS",
            "Big client buffers",
            "Many scripts",
        ];
        assert_eq!(titles(ill), all);
        assert!(report(&ill).contains("allocator is \"libc\".\n\n * Big"));
        let peak = Figures {
            peak: 151 << 20,
            ..well
        };
        assert_eq!(report(&peak), format!("{BEGIN}{PEAK}{END}"));
        let small = Figures {
            used: 6 << 20,
            resident: 14 << 20,
            peak: 6 << 20,
            ..well
        };
        assert!(titles(small).is_empty(), "so little fragments easily");
    }
}
