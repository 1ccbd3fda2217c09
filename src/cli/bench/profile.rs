//! Where the time goes: what the engine says of each operation, summed by kind and by layer. Not here: the clock (`engine`).

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::report::{figure, percent, right_from};
use crate::engine::{OpTime, Peak};

/// What a case spends on its operations.
pub(super) struct Profile {
    pub(super) model: String,
    pub(super) batch: usize,
    pub(super) threads: usize,
    /// Seconds that one image took, by the clock on the wall.
    pub(super) image_time: f64,
    pub(super) peak: Option<Peak>,
    /// Empty where the engine keeps no profile.
    pub(super) ops: Vec<OpTime>,
}

/// What was added to a profile since `before`.
pub(super) fn since(before: &[OpTime], mut after: Vec<OpTime>) -> Vec<OpTime> {
    for (after, before) in after.iter_mut().zip(before) {
        after.images = after.images.saturating_sub(before.images);
        after.busy = after.busy.saturating_sub(before.busy);
    }
    after.retain(|op| op.images > 0);
    after
}

/// Operations that are told of together.
#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    layer: String,
    kind: &'static str,
    count: usize,
    /// Seconds of thread time per image.
    busy: f64,
    macs: u64,
    /// Seconds of thread time per image that the machine needs at least.
    bound: Option<f64>,
}

impl Profile {
    /// Groups operations of the same kind and the same `layer`, in running order.
    fn groups(&self, layer: impl Fn(&str) -> String) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for op in &self.ops {
            let layer = layer(&op.name);
            let index = groups.iter().position(|group| group.kind == op.kind && group.layer == layer);
            let index = index.unwrap_or_else(|| {
                groups.push(Group { layer, kind: op.kind, bound: self.peak.map(|_| 0.0), ..Group::default() });
                groups.len() - 1
            });
            let group = &mut groups[index];
            group.count += 1;
            group.busy += op.busy.as_secs_f64() / op.images as f64;
            group.macs = group.macs.saturating_add(op.cost.macs);
            group.bound = group.bound.zip(self.peak).map(|(sum, peak)| sum + self.bound(op, &peak));
        }
        groups
    }

    fn by_kind(&self) -> Vec<Group> {
        let mut groups = self.groups(|_| String::new());
        groups.sort_by(|a, b| b.busy.total_cmp(&a.busy));
        groups
    }

    /// Seconds of thread time that an operation needs at least, an image: each thread has its share of the machine.
    fn bound(&self, op: &OpTime, peak: &Peak) -> f64 {
        let flops = op.cost.macs as f64 * 2.0;
        let bytes = (op.cost.activations as f64 + op.cost.weights as f64 / self.batch as f64) * 4.0;
        self.threads as f64 * (flops / peak.flops).max(bytes / peak.bytes)
    }

    fn busy(&self) -> f64 {
        self.ops.iter().map(|op| op.busy.as_secs_f64() / op.images as f64).sum()
    }

    /// The share of the threads' time in which they were at work on an operation.
    fn occupied(&self) -> f64 {
        self.busy() / (self.image_time * self.threads as f64)
    }

    /// Billions of operations per second of all threads together, while they are in a group.
    fn gflops(&self, group: &Group) -> f64 {
        group.macs as f64 * 2.0 / 1e9 / group.busy * self.threads as f64
    }

    pub(super) fn table(&self) -> String {
        let title = format!("{}, batch {}", self.model, self.batch);
        if self.ops.is_empty() {
            return format!("{title}: this device keeps no profile of its operations\n");
        }
        format!(
            "{title}: {} ms of thread time per image; threads at work {} of the time\n\n{}\n\n{}\n",
            figure(self.busy() * 1e3),
            percent(self.occupied()),
            self.rows(&["kind"], &self.by_kind()),
            self.rows(&["operation", "kind"], &self.groups(layer)),
        )
    }

    fn rows(&self, names: &[&str], groups: &[Group]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let figures = ["count", "ms per image", "share", "GFLOP/s"];
        table.set_header(names.iter().chain(&figures).copied().chain(self.peak.map(|_| "of bound")));
        for group in groups {
            let mut row = if names.len() > 1 { vec![group.layer.clone()] } else { Vec::new() };
            row.extend([
                group.kind.to_owned(),
                group.count.to_string(),
                figure(group.busy * 1e3),
                format!("{:.1} %", group.busy / self.busy() * 100.0),
                if group.macs == 0 { String::new() } else { figure(self.gflops(group)) },
            ]);
            row.extend(group.bound.map(|bound| percent(bound / group.busy)));
            table.add_row(row);
        }
        right_from(&mut table, names.len());
        table
    }

    pub(super) fn json(&self) -> Value {
        let row = |group: &Group| {
            let mut row = json!({
                "kind": group.kind,
                "count": group.count,
                "thread_ms_per_image": group.busy * 1e3,
                "share": group.busy / self.busy(),
                "gflops": self.gflops(group),
                "share_of_bound": group.bound.map(|bound| bound / group.busy),
            });
            if !group.layer.is_empty() {
                row["operation"] = json!(group.layer);
            }
            row
        };
        let known = |figure: f64| (!self.ops.is_empty()).then_some(figure);
        json!({
            "model": self.model,
            "batch": self.batch,
            "thread_ms_per_image": known(self.busy() * 1e3),
            "threads_at_work": known(self.occupied()),
            "kinds": self.by_kind().iter().map(row).collect::<Vec<_>>(),
            "operations": self.groups(layer).iter().map(row).collect::<Vec<_>>(),
        })
    }
}

/// The layer of an operation with the blocks of its stage taken together: `stages.2.blocks.0.fc1` is at `stages.2.fc1`.
fn layer(name: &str) -> String {
    match name.split_once(".blocks.") {
        Some((stage, rest)) => format!("{stage}.{}", rest.split_once('.').map_or("block", |(_, op)| op)),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::program::Cost;

    fn op(name: &str, kind: &'static str, macs: u64, milliseconds: u64) -> OpTime {
        let cost = Cost { macs, weights: 4_000_000, activations: 1_000_000 };
        OpTime { name: name.to_owned(), kind, cost, images: 4, busy: Duration::from_millis(milliseconds) }
    }

    /// Four images of two blocks' linears, 10 ms per image each, a depthwise of 5 ms and a head of 1 ms.
    fn profile() -> Profile {
        let ops = vec![
            op("stages.0.blocks.0.depthwise", "depthwise", 0, 20),
            op("stages.0.blocks.0.fc1", "linear", 10_000_000, 40),
            op("stages.0.blocks.1.fc1", "linear", 10_000_000, 40),
            op("head", "linear", 1_000_000, 4),
        ];
        let peak = Some(Peak { flops: 4e9, bytes: 8e9 });
        Profile { model: "m".to_owned(), batch: 4, threads: 2, image_time: 0.02, peak, ops }
    }

    #[test]
    fn blocks_of_a_stage_are_one_and_kinds_are_sorted_by_their_time() {
        let profile = profile();
        let layers: Vec<_> = profile.groups(layer).into_iter().map(|group| (group.layer, group.count)).collect();
        let expected = [("stages.0.depthwise", 1), ("stages.0.fc1", 2), ("head", 1)];
        assert_eq!(layers, expected.map(|(layer, count)| (layer.to_owned(), count)));
        let kinds: Vec<_> = profile.by_kind().into_iter().map(|group| (group.kind, group.count)).collect();
        assert_eq!(kinds, [("linear", 3), ("depthwise", 1)]);
        for (name, expected) in
            [("stem.norm", "stem.norm"), ("layers.1.blocks.10.a.b", "layers.1.a.b"), ("x.blocks.3", "x.block")]
        {
            assert_eq!(layer(name), expected);
        }
    }

    #[test]
    fn shares_speeds_and_bounds_are_as_counted_by_hand() {
        let profile = profile();
        assert!((profile.busy() - 0.026).abs() < 1e-12 && (profile.occupied() - 0.65).abs() < 1e-9);
        let fc1 = &profile.groups(layer)[1];
        // 20 M operations in 10 ms of one thread are 2 GFLOP/s, of two threads 4
        assert!((profile.gflops(fc1) - 4.0).abs() < 1e-9);
        // 20 M operations at 4 G a second are 5 ms, of two threads 10; the bytes, 4·(1 M + 4 M / 4) at 8 G, are 1 ms, of two 2
        assert!((fc1.bound.unwrap() - 2.0 * 0.010).abs() < 1e-12);
        assert!((profile.groups(layer)[0].bound.unwrap() - 0.002).abs() < 1e-12);
        let json = profile.json();
        assert_eq!(json["operations"][1]["operation"], "stages.0.fc1");
        let sum: f64 = json["kinds"].as_array().unwrap().iter().map(|kind| kind["share"].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        let table = profile.table();
        assert!(table.contains("at work 65 %") && table.contains("76.9 %"), "{table}");
    }

    #[test]
    fn what_ran_before_is_taken_off() {
        let (before, mut after) =
            (vec![op("a", "linear", 1, 10)], vec![op("a", "linear", 1, 30), op("b", "norm", 1, 5)]);
        after[0].images = 12;
        let since = since(&before, after);
        assert_eq!((since[0].images, since[0].busy), (8, Duration::from_millis(20)));
        assert_eq!(since.len(), 2);
    }

    #[test]
    fn a_device_without_a_profile_says_so() {
        let empty = Profile { ops: Vec::new(), ..profile() };
        assert!(empty.table().contains("keeps no profile"));
        let json = empty.json();
        assert!(json["thread_ms_per_image"].is_null() && json["operations"] == json!([]), "{json}");
    }
}
