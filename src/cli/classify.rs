//! `convnext classify`: image files to labels, through the same service that HTTP uses.

use std::path::PathBuf;

use anyhow::Context;
use bytes::Bytes;
use serde_json::{Value, json};

use super::progress::Stages;
use super::{Failure, device, model_ref, print};
use crate::config::DEFAULT_MODEL;
use crate::service::{
    Admission, Classified, Classifier, Images, ModelOptions, Request, ScoreFunction, Settings, Wanted,
};

/// Arguments of `classify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image files: JPEG, PNG, WebP, GIF, BMP, TIFF
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A demo model, a folder, hub:ORGANISATION/NAME, or NAME= before either
    #[arg(long, default_value = DEFAULT_MODEL)]
    model: String,
    /// Labels an image
    #[arg(long, default_value_t = 5, value_name = "LABELS", value_parser = clap::value_parser!(i64).range(1..))]
    top_k: i64,
    /// softmax, sigmoid or none [default: as the checkpoint says]
    #[arg(long, value_name = "FUNCTION")]
    function_to_apply: Option<ScoreFunction>,
    /// JSON instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: device::Choice,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let engine = args.device.engine().map_err(Failure::Usage)?;
    let model = model_ref::named_and_fetched(&args.model)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().context("starting tokio")?;
    runtime.block_on(async {
        let options =
            ModelOptions { max_batch: 1, precision: args.device.named_precision(), ..ModelOptions::default() };
        let settings = Settings { model: options, ..Settings::default() };
        let (classifier, loading) = Classifier::start(engine, vec![model], settings).map_err(anyhow::Error::from)?;
        let stages = Stages::new(false);
        stages.begin("loading, with its self-check and warm-up");
        loading.done().await.map_err(anyhow::Error::from)?;
        drop(stages);
        let mut answers = Vec::with_capacity(args.images.len());
        for path in &args.images {
            let answer = classify(&classifier, path, args.top_k, args.function_to_apply).await;
            answers.push((path, answer.with_context(|| path.display().to_string())?));
        }
        if args.json {
            let rows: Vec<Value> = answers
                .iter()
                .map(|(path, answer)| json!({"image": path.display().to_string(), "predictions": predictions(answer)}))
                .collect();
            return print(&format!("{:#}\n", Value::Array(rows)));
        }
        let mut text = String::new();
        for (path, answer) in &answers {
            if answers.len() > 1 {
                text += &format!("{}\n", path.display());
            }
            for prediction in answer.predictions() {
                text += &format!("{:7.4}  {}\n", prediction.score, prediction.label);
            }
        }
        print(&text)
    })
}

async fn classify(
    classifier: &Classifier,
    path: &PathBuf,
    top_k: i64,
    function: Option<ScoreFunction>,
) -> anyhow::Result<Classified> {
    let bytes = Bytes::from(std::fs::read(path)?);
    let ticket = classifier.admit(Admission { body_bytes: Some(bytes.len() as u64), ..Admission::default() })?;
    let wanted = Wanted::Labels { top_k, function };
    let request = Request { images: Images::Files(vec![bytes]), wanted };
    let answer = ticket.classify(request).await?;
    answer.images.into_iter().next().context("no answer")
}

fn predictions(answer: &Classified) -> Value {
    answer.predictions().iter().map(|p| json!({"label": &*p.label, "score": p.score})).collect()
}
