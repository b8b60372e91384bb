//! Memory that is free again and still kept from the system. The allocator gives a thread heaps of its own, and what others
//! free in them stays there until that thread looks: after FLUSHALL, or when many keys have run out, that may be most of
//! what the process has.

/// Less than this is kept for what comes next.
pub(super) const LEAST: usize = 16 << 20;
/// So is less than this part of what was in use.
const PART: usize = 4;

/// How much was in use since memory was given back.
#[derive(Debug, Default)]
pub(super) struct Slack {
    most: usize,
}

impl Slack {
    /// So many bytes are in use.
    pub(super) fn note(&mut self, used: usize) {
        self.most = self.most.max(used);
    }

    /// Whether so much less is in use now that it pays to give memory back, which is to be done then.
    pub(super) fn pays(&mut self, used: usize) -> bool {
        self.note(used);
        let pays = self.most - used >= LEAST.max(self.most / PART);
        if pays {
            self.most = used;
        }
        pays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_for_a_large_part() {
        const MIB: usize = 1 << 20;
        let mut slack = Slack::default();
        slack.note(100 * MIB);
        assert!(!slack.pays(76 * MIB));
        assert!(slack.pays(75 * MIB));
        assert!(!slack.pays(75 * MIB));
        assert!(!slack.pays(60 * MIB));
        assert!(slack.pays(56 * MIB));
        // Little is never worth it.
        slack.note(60 * MIB);
        assert!(slack.pays(2 * MIB));
        slack.note(15 * MIB);
        assert!(!slack.pays(0));
    }
}
