//! The protocol's statistics under the names that Triton's metrics have for them (`--metrics-compat=triton`), so that its dashboards and autoscalers
//! read this server. Made of the same sums at each scrape: the two agree because nothing is counted twice.
//!
//! Not here: what of Triton's metrics this server does not know (caches, power, utilisation), which is left out rather than told as 0.

use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::statistics::{ModelStatistics, statistics};
use crate::metrics::{Failure, Tally};
use crate::service::{Classifier, GpuMemory};

/// What is told of a version under one of its names.
type Count = (&'static str, &'static str, fn(&ModelStatistics) -> u64);

const COUNTS: &[Count] = &[
    ("nv_inference_request_success", "Requests that were answered, of any number of images.", |of| {
        of.requests.success.count
    }),
    ("nv_inference_count", "Images of requests that were answered.", |of| of.requests.images),
    (
        "nv_inference_exec_count",
        "Batches that ran, of both names of a model: a batch has images of both.",
        ModelStatistics::execution_count,
    ),
    (
        "nv_inference_request_duration_us",
        "Time of answered requests from admission to answer, in microseconds.",
        |of| microseconds(of.requests.success),
    ),
    ("nv_inference_queue_duration_us", "Time that answered requests waited for a device, in microseconds.", |of| {
        microseconds(of.requests.queue)
    }),
    (
        "nv_inference_compute_input_duration_us",
        "Time in which images of answered requests were decoded and resized, in microseconds.",
        |of| microseconds(of.requests.compute_input),
    ),
    (
        "nv_inference_compute_infer_duration_us",
        "Time in which the batches of answered requests ran, in microseconds.",
        |of| microseconds(of.requests.compute_infer),
    ),
    (
        "nv_inference_compute_output_duration_us",
        "Time from logits to answers of answered requests, in microseconds.",
        |of| microseconds(of.requests.compute_output),
    ),
];

/// All of them, to stand behind the server's own metrics.
///
/// # Errors
/// When a metric cannot be made: a fault of this file.
pub fn nv_metrics(classifier: &Classifier) -> Result<Vec<MetricFamily>, prometheus::Error> {
    // one model that was unloaded just now is left out; all of them is no error
    let models = statistics(classifier, "", "").unwrap_or_default();
    families(&models, &classifier.gpu_memory())
}

fn families(models: &[ModelStatistics], gpus: &[GpuMemory]) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let registry = Registry::new();
    for (name, help, value) in COUNTS {
        let counts = counters(&registry, name, help, &["model", "version"])?;
        for of in models {
            counts.with_label_values(&[&of.name, &of.version]).inc_by(value(of));
        }
    }
    let help =
        "Requests without an answer: turned away or too late, left by their client, met by a fault of ours, or other.";
    let failures = counters(&registry, "nv_inference_request_failure", help, &["model", "reason", "version"])?;
    let help = "Images that wait for a device now.";
    let pending = gauges(&registry, "nv_inference_pending_request_count", help, &["model", "version"])?;
    for of in models {
        for failure in Failure::ALL {
            let labels = [&*of.name, reason(failure), &*of.version];
            failures.with_label_values(&labels).inc_by(of.requests.failures[failure as usize]);
        }
        pending.with_label_values(&[&of.name, &of.version]).set(gauge(of.waiting as u64));
    }
    let total = gauges(&registry, "nv_gpu_memory_total_bytes", "A GPU's memory, in bytes.", &["gpu_uuid"])?;
    let help = "A GPU's memory that is in use, by this process and others, in bytes.";
    let used = gauges(&registry, "nv_gpu_memory_used_bytes", help, &["gpu_uuid"])?;
    for gpu in gpus {
        total.with_label_values(&[&gpu.uuid]).set(gauge(gpu.total));
        used.with_label_values(&[&gpu.uuid]).set(gauge(gpu.used));
    }
    Ok(registry.gather())
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Triton's word for it.
fn reason(failure: Failure) -> &'static str {
    match failure {
        Failure::Rejected => "REJECTED",
        Failure::Cancelled => "CANCELED",
        Failure::Backend => "BACKEND",
        Failure::Other => "OTHER",
    }
}

fn microseconds(tally: Tally) -> u64 {
    u64::try_from(tally.time.as_micros()).unwrap_or(u64::MAX)
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{Exposition, Requests};

    #[test]
    fn names_and_labels_are_tritons() {
        let tally = |count, us| Tally { count, time: Duration::from_micros(us) };
        let requests = Requests {
            success: tally(3, 900),
            fail: tally(2, 50),
            failures: [0, 1, 0, 1],
            queue: tally(3, 70),
            images: 5,
            ..Requests::default()
        };
        let of = ModelStatistics {
            name: "m".into(),
            version: "2".into(),
            last_inference: 0,
            requests,
            executions: Vec::new(),
            waiting: 4,
            memory: Vec::new(),
        };
        let families = families(&[of], &[GpuMemory { uuid: "GPU-1".into(), total: 80, used: 9 }]).unwrap();
        let text = String::from_utf8(Exposition::Text.encode(&families, &Default::default()).unwrap()).unwrap();
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            series,
            [
                r#"nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 80"#,
                r#"nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 9"#,
                r#"nv_inference_compute_infer_duration_us{model="m",version="2"} 0"#,
                r#"nv_inference_compute_input_duration_us{model="m",version="2"} 0"#,
                r#"nv_inference_compute_output_duration_us{model="m",version="2"} 0"#,
                r#"nv_inference_count{model="m",version="2"} 5"#,
                r#"nv_inference_exec_count{model="m",version="2"} 0"#,
                r#"nv_inference_pending_request_count{model="m",version="2"} 4"#,
                r#"nv_inference_queue_duration_us{model="m",version="2"} 70"#,
                r#"nv_inference_request_duration_us{model="m",version="2"} 900"#,
                r#"nv_inference_request_failure{model="m",reason="BACKEND",version="2"} 0"#,
                r#"nv_inference_request_failure{model="m",reason="CANCELED",version="2"} 1"#,
                r#"nv_inference_request_failure{model="m",reason="OTHER",version="2"} 1"#,
                r#"nv_inference_request_failure{model="m",reason="REJECTED",version="2"} 0"#,
                r#"nv_inference_request_success{model="m",version="2"} 3"#,
            ]
        );
    }
}
