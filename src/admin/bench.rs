//! `POST /bench`: models beside their baselines, measured on the devices that serve them. Not here: how (`service`).

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::Uri;
use utoipa::openapi::Type;
use utoipa::openapi::schema::ObjectBuilder;

use crate::http::docs::{Operation, schemas};
use crate::http::{AppState, Compared, Error};
use crate::service::BenchRequest;

/// Of each pair and batch size.
const SECONDS: f64 = 2.0;
const MOST_SECONDS: f64 = 600.0;
/// Images of a batch.
const BATCHES: [usize; 2] = [1, 8];

/// Measures, and answers what was found: of each pair, device and batch size an object.
pub(super) async fn bench(State(state): State<AppState>, uri: Uri) -> Result<Json<Vec<Compared>>, Error> {
    let request = request(&uri).map_err(Error::Malformed)?;
    Ok(Json(state.classifier.bench(request).await?.into_iter().map(Compared::from).collect()))
}

/// What the document says of it.
pub(super) fn said() -> Operation {
    let seconds = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0.1)).maximum(Some(MOST_SECONDS));
    let batches = schemas::text().pattern(Some("^[1-9][0-9]*(,[1-9][0-9]*)*$")).default(Some("1,8".into()));
    Operation::new("bench", "models", "Models beside their baselines, measured while nobody asks for anything else")
        .query("model", "One of a pair; all pairs if it is left out.", schemas::text())
        .query("batch", "Images of a batch, several with commas.", batches)
        .query("seconds", "Of each pair and batch size.", seconds.default(Some(SECONDS.into())))
        .list::<Compared>("What was found: of each pair, device and batch size an object.")
        .refuses(&[400, 403, 404, 429, 503])
}

/// What the query asks for. What it does not know is refused: a measurement of something else than was meant misleads.
fn request(uri: &Uri) -> Result<BenchRequest, String> {
    let duration = Duration::from_secs_f64(SECONDS);
    let mut request = BenchRequest { model: None, batches: BATCHES.to_vec(), duration };
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| error.body_text())?;
    for (name, value) in pairs {
        match &*name {
            "model" => request.model = Some(value).filter(|model| !model.is_empty()),
            "batch" => {
                let batches = value.split(',').map(|size| size.trim().parse::<usize>()).collect::<Result<_, _>>();
                request.batches =
                    batches.map_err(|_| format!("batch={value}: numbers of images are needed, as 1,8"))?;
            }
            "seconds" => {
                let seconds = value.parse().ok().filter(|seconds| (0.1..=MOST_SECONDS).contains(seconds));
                let seconds = seconds.ok_or_else(|| format!("seconds={value}: 0.1 to {MOST_SECONDS} are possible"))?;
                request.duration = Duration::from_secs_f64(seconds);
            }
            _ => return Err(format!("{name} is no parameter; model, batch and seconds are")),
        }
    }
    Ok(request)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_is_measured_and_what_it_does_not_know_is_refused() {
        let request = |query: &str| request(&format!("/bench?{query}").parse().unwrap());
        let all = request("").unwrap();
        assert_eq!((all.model, all.batches, all.duration), (None, vec![1, 8], Duration::from_secs(2)));
        let one = request("model=cats&batch=4,%2016&seconds=0.5").unwrap();
        assert_eq!((one.model.as_deref(), one.batches), (Some("cats"), vec![4, 16]));
        assert_eq!(one.duration, Duration::from_millis(500));
        for (query, words) in [
            ("batch=", "numbers of images"),
            ("batch=-1", "numbers of images"),
            ("seconds=0", "0.1 to 600"),
            ("seconds=nan", "0.1 to 600"),
            ("rounds=3", "rounds is no parameter"),
        ] {
            assert!(request(query).unwrap_err().contains(words), "{query}");
        }
    }
}
