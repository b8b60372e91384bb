//! CLUSTER and what clients of a cluster send: a standalone server knows their names and answers that it is none.

use super::spec::{CommandSpec, Flags};
use super::{CommandError, CommandResult, Context, help};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        acl: "slow",
        group: "cluster",
        since: "3.0.0",
        summary: "A container for cluster commands",
        complexity: "Depends on subcommand.",
        subcommands: &[
            CommandSpec {
                arguments: "slot:integer*",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Assign new hash slots to receiving node",
                complexity: "O(N) where N is the total number of hash slot arguments",
                ..CommandSpec::new(
                    "addslots",
                    -3,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                arguments: "start-slot_end-slot:block*{start-slot:integer end-slot:integer}",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "7.0.0",
                summary: "Assign new hash slots to receiving node",
                complexity: "O(N) where N is the total number of the slots between the start slot and end slot arguments.",
                ..CommandSpec::new(
                    "addslotsrange",
                    -4,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Advance the cluster config epoch",
                complexity: "O(1)",
                tips: "nondeterministic_output",
                ..CommandSpec::new(
                    "bumpepoch",
                    2,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                arguments: "node-id:string",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Return the number of failure reports active for a given node",
                complexity: "O(N) where N is the number of failure reports",
                tips: "nondeterministic_output",
                ..CommandSpec::new(
                    "count-failure-reports",
                    3,
                    Flags::ADMIN.and(Flags::STALE),
                    disabled,
                )
            },
            CommandSpec {
                arguments: "slot:integer",
                acl: "slow",
                group: "cluster",
                since: "3.0.0",
                summary: "Return the number of local keys in the specified hash slot",
                complexity: "O(1)",
                ..CommandSpec::new("countkeysinslot", 3, Flags::STALE, disabled)
            },
            CommandSpec {
                arguments: "slot:integer*",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Set hash slots as unbound in receiving node",
                complexity: "O(N) where N is the total number of hash slot arguments",
                ..CommandSpec::new(
                    "delslots",
                    -3,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                arguments: "start-slot_end-slot:block*{start-slot:integer end-slot:integer}",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "7.0.0",
                summary: "Set hash slots as unbound in receiving node",
                complexity: "O(N) where N is the total number of the slots between the start slot and end slot arguments.",
                ..CommandSpec::new(
                    "delslotsrange",
                    -4,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                arguments: "options:oneof?{force:pure-token=FORCE takeover:pure-token=TAKEOVER}",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Forces a replica to perform a manual failover of its master.",
                complexity: "O(1)",
                ..CommandSpec::new(
                    "failover",
                    -2,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Delete a node's own slots information",
                complexity: "O(1)",
                ..CommandSpec::new(
                    "flushslots",
                    2,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                arguments: "node-id:string",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Remove a node from the nodes table",
                complexity: "O(1)",
                ..CommandSpec::new(
                    "forget",
                    3,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                arguments: "slot:integer count:integer",
                acl: "slow",
                group: "cluster",
                since: "3.0.0",
                summary: "Return local key names in the specified hash slot",
                complexity: "O(log(N)) where N is the number of requested keys",
                tips: "nondeterministic_output",
                ..CommandSpec::new("getkeysinslot", 4, Flags::STALE, disabled)
            },
            CommandSpec {
                acl: "slow",
                group: "cluster",
                since: "5.0.0",
                summary: "Show helpful text about the different subcommands",
                complexity: "O(1)",
                ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), disabled)
            },
            CommandSpec {
                acl: "slow",
                group: "cluster",
                since: "3.0.0",
                summary: "Provides info about Redis Cluster node state",
                complexity: "O(1)",
                tips: "nondeterministic_output",
                ..CommandSpec::new("info", 2, Flags::STALE, disabled)
            },
            CommandSpec {
                arguments: "key:string",
                acl: "slow",
                group: "cluster",
                since: "3.0.0",
                summary: "Returns the hash slot of the specified key",
                complexity: "O(N) where N is the number of bytes in the key",
                ..CommandSpec::new("keyslot", 3, Flags::STALE, disabled)
            },
            CommandSpec {
                acl: "slow",
                group: "cluster",
                since: "7.0.0",
                summary: "Returns a list of all TCP links to and from peer nodes in cluster",
                complexity: "O(N) where N is the total number of Cluster nodes",
                tips: "nondeterministic_output",
                ..CommandSpec::new("links", 2, Flags::STALE, disabled)
            },
            CommandSpec {
                arguments: "ip:string port:integer cluster_bus_port:integer?@4.0.0",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Force a node cluster to handshake with another node",
                complexity: "O(1)",
                history: &[("4.0.0", "Added the optional `cluster_bus_port` argument.")],
                ..CommandSpec::new(
                    "meet",
                    -4,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                acl: "slow",
                group: "cluster",
                since: "3.0.0",
                summary: "Return the node id",
                complexity: "O(1)",
                ..CommandSpec::new("myid", 2, Flags::STALE, disabled)
            },
            CommandSpec {
                acl: "slow",
                group: "cluster",
                since: "7.2.0",
                summary: "Returns the shard ID of a node.",
                complexity: "O(1)",
                tips: "nondeterministic_output",
                ..CommandSpec::new("myshardid", 2, Flags::STALE, disabled)
            },
            CommandSpec {
                acl: "slow",
                group: "cluster",
                since: "3.0.0",
                summary: "Get Cluster config for the node",
                complexity: "O(N) where N is the total number of Cluster nodes",
                tips: "nondeterministic_output",
                ..CommandSpec::new("nodes", 2, Flags::STALE, disabled)
            },
            CommandSpec {
                arguments: "node-id:string",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "5.0.0",
                summary: "List replica nodes of the specified master node",
                complexity: "O(1)",
                tips: "nondeterministic_output",
                ..CommandSpec::new("replicas", 3, Flags::ADMIN.and(Flags::STALE), disabled)
            },
            CommandSpec {
                arguments: "node-id:string",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Reconfigure a node as a replica of the specified master node",
                complexity: "O(1)",
                ..CommandSpec::new(
                    "replicate",
                    3,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                arguments: "hard_soft:oneof?{hard:pure-token=HARD soft:pure-token=SOFT}",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Reset a Redis Cluster node",
                complexity: "O(N) where N is the number of known nodes. The command may execute a FLUSHALL as a side effect.",
                ..CommandSpec::new(
                    "reset",
                    -2,
                    Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::STALE),
                    disabled,
                )
            },
            CommandSpec {
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Forces the node to save cluster state on disk",
                complexity: "O(1)",
                ..CommandSpec::new(
                    "saveconfig",
                    2,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                arguments: "config-epoch:integer",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Set the configuration epoch in a new node",
                complexity: "O(1)",
                ..CommandSpec::new(
                    "set-config-epoch",
                    3,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                arguments: "slot:integer subcommand:oneof{node-id:string=IMPORTING node-id:string=MIGRATING node-id:string=NODE stable:pure-token=STABLE}",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "Bind a hash slot to a specific node",
                complexity: "O(1)",
                ..CommandSpec::new(
                    "setslot",
                    -4,
                    Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
                    disabled,
                )
            },
            CommandSpec {
                acl: "slow",
                group: "cluster",
                since: "7.0.0",
                summary: "Get array of cluster slots to node mappings",
                complexity: "O(N) where N is the total number of cluster nodes",
                tips: "nondeterministic_output",
                ..CommandSpec::new("shards", 2, Flags::STALE, disabled)
            },
            CommandSpec {
                arguments: "node-id:string",
                acl: "admin slow dangerous",
                group: "cluster",
                since: "3.0.0",
                summary: "List replica nodes of the specified master node",
                complexity: "O(1)",
                tips: "nondeterministic_output",
                deprecated: Some(("5.0.0", "`CLUSTER REPLICAS`")),
                ..CommandSpec::new("slaves", 3, Flags::ADMIN.and(Flags::STALE), disabled)
            },
            CommandSpec {
                arguments: "filter:oneof{slotsrange:block=SLOTSRANGE{start-slot:integer end-slot:integer} orderby:block=ORDERBY{metric:string limit:integer=LIMIT? order:oneof?{asc:pure-token=ASC desc:pure-token=DESC}}}",
                acl: "slow",
                group: "cluster",
                since: "8.2.0",
                summary: "Return an array of slot usage statistics for slots assigned to the current node.",
                complexity: "O(N) where N is the total number of slots based on arguments. O(N*log(N)) with ORDERBY subcommand.",
                tips: "nondeterministic_output request_policy:all_shards",
                ..CommandSpec::new("slot-stats", -4, Flags::STALE.and(Flags::LOADING), disabled)
            },
            CommandSpec {
                acl: "slow",
                group: "cluster",
                since: "3.0.0",
                summary: "Get array of Cluster slot to node mappings",
                complexity: "O(N) where N is the total number of Cluster nodes",
                tips: "nondeterministic_output",
                history: &[
                    ("4.0.0", "Added node IDs."),
                    ("7.0.0", "Added additional networking metadata field."),
                ],
                deprecated: Some(("7.0.0", "`CLUSTER SHARDS`")),
                ..CommandSpec::new("slots", 2, Flags::STALE, disabled)
            },
        ],
        ..CommandSpec::new("cluster", -2, Flags::NONE, help::container)
    },
    CommandSpec {
        acl: "fast connection",
        group: "cluster",
        since: "3.0.0",
        summary: "Enables read queries for a connection to a cluster replica node",
        complexity: "O(1)",
        ..CommandSpec::new(
            "readonly",
            1,
            Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
            disabled,
        )
    },
    CommandSpec {
        acl: "fast connection",
        group: "cluster",
        since: "3.0.0",
        summary: "Disables read queries for a connection to a cluster replica node",
        complexity: "O(1)",
        ..CommandSpec::new(
            "readwrite",
            1,
            Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
            disabled,
        )
    },
    CommandSpec {
        acl: "fast connection",
        group: "cluster",
        since: "3.0.0",
        summary: "Sent by cluster clients after an -ASK redirect",
        complexity: "O(1)",
        ..CommandSpec::new("asking", 1, Flags::FAST, disabled)
    },
];

fn disabled(_: &mut Context<'_, '_>) -> CommandResult {
    Err(CommandError::text(
        "ERR This instance has cluster support disabled",
    ))
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    #[test]
    fn a_standalone_server_says_so() {
        let mut harness = Harness::new();
        let disabled = "ERR This instance has cluster support disabled";
        for (line, error) in [
            ("CLUSTER INFO", disabled),
            ("CLUSTER HELP", disabled),
            ("CLUSTER KEYSLOT key", disabled),
            ("CLUSTER RESET HARD", disabled),
            ("READONLY", disabled),
            ("READWRITE", disabled),
            ("ASKING", disabled),
            (
                "CLUSTER",
                "ERR wrong number of arguments for 'cluster' command",
            ),
            (
                "CLUSTER INFO x",
                "ERR wrong number of arguments for 'cluster|info' command",
            ),
            ("CLUSTER x", "ERR unknown subcommand 'x'. Try CLUSTER HELP."),
        ] {
            assert_eq!(
                harness.run(line),
                Response::Error(error.to_owned()),
                "{line}"
            );
        }
    }
}
