//! Models on an engine: loads them, runs them in turns, and once more with a profile.
//! Not here: whose turn it is (`measure`), what is made of the figures (`report`, `profile`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::Model;
use super::machine::{Machine, peak_memory};
use super::measure::{alternate, median};
use super::pauses::{PAUSES, behind_pauses, rest};
use super::profile::{self, Profile};
use super::report::{Case, Report};
use crate::cli::model_ref::Network;
use crate::cli::noise;
use crate::cli::progress::Stages;
use crate::engine::{Batch, DeviceId, Engine, Executable, Image, Options, Peak, PixelFormat, RunError};

/// How often at most the machine's peak is measured.
const PEAKS: u32 = 5;
/// Without a terminal, progress is told of a benchmark that takes longer than this.
const LONG: Duration = Duration::from_secs(30);

/// What is to be measured, and how.
pub(super) struct Bench<'a> {
    pub(super) engine: &'a dyn Engine,
    pub(super) models: &'a [Model],
    pub(super) batches: &'a [usize],
    pub(super) options: Options,
    pub(super) time: Duration,
    /// The smallest batch is measured behind pauses too.
    pub(super) pauses: bool,
}

impl Bench<'_> {
    /// Runs the cases in alternating rounds.
    pub(super) fn measure(&self, machine: Machine) -> anyhow::Result<Report> {
        let cases: Vec<(usize, usize)> =
            (0..self.models.len()).flat_map(|model| self.batches.iter().map(move |batch| (model, *batch))).collect();
        let stages = Stages::new(self.time * cases.len() as u32 > LONG);
        stages.begin("loading");
        let mut runners: Vec<Runner> =
            self.models.iter().map(|model| self.load(model, self.options)).collect::<Result<_, _>>()?;
        stages.begin("warming up");
        let mut peaks = Vec::new();
        let (mut rounds, mut memory) = (0, None);
        let run = |case: usize| {
            let (model, batch) = cases[case];
            runners[model].time(batch)
        };
        let before = |round: u32, count: u32| {
            stages.reach("round", round.into(), count.into());
            // warm: every case has run, and what the peak needs has not been added
            memory = memory.or_else(peak_memory);
            if round.is_multiple_of(count.div_ceil(PEAKS)) {
                peaks.extend(self.engine.peak(self.options.threads, self.options.precision));
            }
            rounds = count;
        };
        let times = alternate(cases.len(), self.time, run, before)?;
        let mut results = Vec::new();
        for (&(model, batch), times) in cases.iter().zip(times) {
            let Model { name, network } = &self.models[model];
            let mut case = Case::new(name, network, batch, times);
            if self.pauses && self.batches.iter().min() == Some(&batch) {
                stages.begin(format!("{name}, batch {batch}, behind pauses"));
                let time = self.time * PAUSES.len() as u32;
                case.after_pauses = Some(behind_pauses(time, rest, || runners[model].time(batch))?);
            }
            results.push(case);
        }
        Ok(Report {
            device: self.engine.devices()[0].to_string(),
            threads: self.options.threads,
            precision: self.options.precision,
            machine,
            seconds: self.time.as_secs_f64(),
            rounds,
            peak: middle(&peaks),
            peak_memory: memory,
            cases: results,
            pairs: Vec::new(),
            profiles: None,
        })
    }

    /// Runs every case again, one model after the other, with executables that keep a profile.
    pub(super) fn profile(&self, peak: Option<Peak>) -> anyhow::Result<Vec<Profile>> {
        let stages = Stages::new(self.time * (self.models.len() * self.batches.len()) as u32 > LONG);
        let mut profiles = Vec::new();
        for model in self.models {
            let mut runner = self.load(model, Options { profile: true, ..self.options })?;
            for &batch in self.batches {
                stages.begin(format!("profiling {}, batch {batch}", model.name));
                runner.time(batch)?;
                let before = runner.executable.profile();
                let (mut runs, mut spent) = (0, Duration::ZERO);
                while !before.is_empty() && (runs < 2 || spent < self.time) {
                    spent += runner.time(batch)?;
                    runs += 1;
                }
                let ops = profile::since(&before, runner.executable.profile());
                profiles.push(Profile {
                    model: model.name.clone(),
                    batch,
                    threads: self.options.threads,
                    image_time: spent.as_secs_f64() / (runs * batch) as f64,
                    peak,
                    ops,
                });
            }
        }
        Ok(profiles)
    }

    /// Loads a model and makes its images.
    fn load(&self, model: &Model, options: Options) -> anyhow::Result<Runner> {
        let Network { program, weights, .. } = &model.network;
        let context = || format!("loading {} on {}", model.name, self.engine.devices()[0]);
        let loaded = self.engine.load(DeviceId(0), program, &**weights, &options).with_context(context)?;
        let executable = loaded.instantiate().with_context(context)?;
        let image = |index| noise::image(index as u64, program.input.height * program.input.width * 3).into();
        let images = (0..options.max_batch).map(image).collect();
        let logits = vec![0.0; options.max_batch * executable.classes()];
        Ok(Runner { executable, images, logits })
    }
}

/// An executable and what it runs on.
struct Runner {
    executable: Box<dyn Executable>,
    images: Vec<Arc<[u8]>>,
    logits: Vec<f32>,
}

impl Runner {
    /// What a run of the first `batch` images takes.
    fn time(&mut self, batch: usize) -> Result<Duration, RunError> {
        let image = |pixels: &Arc<[u8]>| Image::new(PixelFormat::Rgb8, Arc::clone(pixels));
        let images: Batch = self.images[..batch].iter().map(image).collect();
        let logits = &mut self.logits[..batch * self.executable.classes()];
        let began = Instant::now();
        let id = self.executable.launch(images)?;
        self.executable.finish(id, logits)?;
        Ok(began.elapsed())
    }
}

/// The median of each of a peak's two speeds.
fn middle(peaks: &[Peak]) -> Option<Peak> {
    let of = |speed: fn(&Peak) -> f64| median(&peaks.iter().map(speed).collect::<Vec<_>>());
    (!peaks.is_empty()).then(|| Peak { flops: of(|peak| peak.flops), bytes: of(|peak| peak.bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_the_median_of_each_of_its_speeds() {
        let peaks = [(1.0, 30.0), (9.0, 20.0), (2.0, 10.0)].map(|(flops, bytes)| Peak { flops, bytes });
        assert_eq!(middle(&peaks), Some(Peak { flops: 2.0, bytes: 20.0 }));
        assert_eq!(middle(&[]), None);
    }
}
