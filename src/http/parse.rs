//! Which of the three forms a body has: told by its first bytes and not by its declared type, for curl declares a photo as
//! `application/x-www-form-urlencoded`. JSON begins with `{`, a multipart body with `--`, and no image with either.

use axum::http::HeaderValue;
use bytes::Bytes;

use super::error::Error;
use super::form::Form;
use super::{contents, json, multipart};
use crate::service::ServiceError;

/// Larger JSON is parsed on tokio's blocking threads. Base64 is decoded at about a byte per nanosecond, and an async thread
/// should not be busy for many milliseconds.
const PARSED_INLINE: usize = 1 << 20;

/// Reads a body of any form. Images of raw bodies and of parts are not copied again.
///
/// # Errors
/// [`Error::Malformed`], which names the field or the part; `TooLarge` beyond [`MAX_IMAGES`](super::form::MAX_IMAGES).
pub(super) async fn parse(body: Bytes, content_type: Option<&HeaderValue>) -> Result<Form, Error> {
    match body.trim_ascii_start() {
        [] => Err(Error::Malformed("the body is empty; it must be an image".into())),
        [b'{', ..] => parse_json(body.len(), move || json::parse(&body)).await,
        [b'-', b'-', ..] => multipart::parse(body, content_type).await,
        _ => Ok(Form::of_one(body)),
    }
}

/// Parses so many bytes of JSON, where that does not hold up others.
///
/// # Errors
/// What `parse` returns.
pub(super) async fn parse_json<T: Send + 'static>(
    bytes: usize,
    parse: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if bytes <= PARSED_INLINE {
        return parse();
    }
    #[expect(clippy::disallowed_methods, reason = "the budget of bodies admits 256 of these at a time, not more")]
    let parsed = tokio::task::spawn_blocking(parse).await;
    parsed.unwrap_or_else(|fault| {
        tracing::error!(%fault, "parsing a JSON body failed");
        Err(Error::Internal)
    })
}

/// Charges what the tensors of a JSON body will take beside it, before they are read.
///
/// # Errors
/// What `charge` returns.
pub(super) async fn charge_decoded(
    json: &Bytes,
    charge: impl FnOnce(u64) -> Result<(), ServiceError>,
) -> Result<(), Error> {
    let text = json.clone();
    let more = parse_json(json.len(), move || Ok(contents::most_bytes(&text))).await?;
    Ok(charge(more)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use base64::Engine as _;
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    const CURL: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

    #[tokio::test]
    async fn bytes_are_an_image_whatever_their_declared_type() {
        let jpeg = Bytes::from_static(b"\xff\xd8\xff\xe0");
        for declared in [None, Some(&CURL), Some(&HeaderValue::from_static("application/json"))] {
            let form = parse(jpeg.clone(), declared).await.unwrap();
            assert_eq!(form, Form::of_one(jpeg.clone()));
        }
    }

    #[tokio::test]
    async fn json_is_json_whatever_its_declared_type() {
        let form = parse(Bytes::from_static(b" \r\n{\"inputs\": \"aGk=\"}"), Some(&CURL)).await.unwrap();
        assert_eq!(form.images, ["hi"]);
    }

    #[tokio::test]
    async fn large_json_is_parsed_too() {
        let body = format!("{{\"inputs\": \"{}\"}}", "QUFB".repeat(PARSED_INLINE / 4));
        let form = parse(body.into(), None).await.unwrap();
        assert_eq!(form.images, ["AAA".repeat(PARSED_INLINE / 4)]);
    }

    #[tokio::test]
    async fn an_empty_body_is_no_image() {
        for body in ["", " \n"] {
            assert_eq!(parse(body.into(), None).await.unwrap_err().status(), 400);
        }
    }

    proptest! {
        #[test]
        fn any_body_is_parsed_or_refused(start in "|[{]|[{]\"inputs\":|--XX\r\n", rest: Vec<u8>) {
            let form_data = HeaderValue::from_static("multipart/form-data; boundary=XX");
            let body = [start.as_bytes(), &rest].concat();
            match parse(body.into(), Some(&form_data)).now_or_never().unwrap() {
                Ok(form) => prop_assert!(!form.images.is_empty()),
                Err(error) => prop_assert_eq!(error.status(), 400),
            }
        }

        #[test]
        fn any_image_comes_out_of_each_form_as_it_went_in(image in proptest::collection::vec(any::<u8>(), 1..2000)) {
            let read = |body: Vec<u8>, content_type: Option<&'static str>| {
                let content_type = content_type.map(HeaderValue::from_static);
                parse(body.into(), content_type.as_ref()).now_or_never().unwrap().unwrap().images
            };
            let base64 = base64::engine::general_purpose::STANDARD.encode(&image);
            prop_assert_eq!(read(format!("{{\"inputs\": \"{base64}\"}}").into_bytes(), None), vec![image.clone()]);
            let head = b"--a b\r\nContent-Disposition: form-data; name=image\r\n\r\n";
            let parts = [head.as_slice(), &image, b"\r\n--a b--"].concat();
            prop_assert_eq!(read(parts, Some("multipart/form-data; boundary=\"a b\"")), vec![image]);
        }
    }
}
