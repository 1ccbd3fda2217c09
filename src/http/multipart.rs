//! The form `multipart/form-data`: what browsers and `curl -F image=@photo.jpg` send.
//!
//! A part with a name of [`ONE`] is one image; several of them, and parts with a name of [`LIST`], even a single one, are a list
//! in the order of the parts. Parts `top_k` and `function_to_apply` are options of the answer; other fields of text are ignored.
//! The body has been read whole before, within its limits. Parsing copies it once.

use std::convert::Infallible;

use axum::http::HeaderValue;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use multer::{Field, Multipart};

use super::answer_options::{AnswerOptions, parse_function, parse_top_k};
use super::error::Error;
use super::form::{Form, MAX_IMAGES, Shape, too_many};

/// Names of a part that is the one image, as clients have them.
pub(super) const ONE: [&str; 3] = ["image", "file", "data"];
/// Names of parts that are a list; PHP and jQuery add the brackets.
pub(super) const LIST: [&str; 5] = ["images", "files", "image[]", "images[]", "files[]"];

/// What [`ONE`] and [`LIST`] say.
const KNOWN: &str =
    "an image is named image, file or data, and each of a list images, files, image[], images[] or files[]";

/// Reads a multipart body. Its boundary stands only in the content type.
///
/// # Errors
/// [`Error::Malformed`], which names the part.
pub(super) async fn parse(body: Bytes, content_type: Option<&HeaderValue>) -> Result<Form, Error> {
    let mut parts = parts(body, content_type)?;
    let mut images = Vec::new();
    let mut shape = Shape::One;
    let mut options = AnswerOptions::default();
    let mut ignored = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        let is_one = ONE.contains(&name.as_str());
        match name.as_str() {
            _ if is_one || LIST.contains(&name.as_str()) => {
                if images.len() == MAX_IMAGES {
                    return Err(too_many());
                }
                let image = content(part).await?;
                if image.is_empty() {
                    return Err(Error::Malformed(format!("part {name} is empty; it must be an image")));
                }
                images.push(image);
                if !is_one || images.len() > 1 {
                    shape = Shape::List;
                }
            }
            "top_k" => options.top_k = Some(parse_top_k(&text(part).await?)?),
            "function_to_apply" => options.function = Some(parse_function(&text(part).await?)?),
            // a file that nobody reads is a mistake that its sender would like to know of
            _ if part.file_name().is_some() => {
                return Err(Error::Malformed(format!("part {name:?} is a file of an unknown name; {KNOWN}")));
            }
            _ => ignored.push(format!("part {name}")),
        }
    }
    if images.is_empty() {
        return Err(Error::Malformed(format!("no part is an image; {KNOWN}")));
    }
    Ok(Form { images, shape, options, ignored })
}

fn parts(body: Bytes, content_type: Option<&HeaderValue>) -> Result<Multipart<'static>, Error> {
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let Some(boundary) = content_type.and_then(|text| multer::parse_boundary(text).ok()) else {
        return Err(Error::Malformed(
            "the body looks like multipart/form-data, but the Content-Type is not multipart/form-data with a boundary"
                .into(),
        ));
    };
    Ok(Multipart::new(stream::iter([Ok::<_, Infallible>(body)]), boundary))
}

/// The bytes of a part, not copied out of the parser's buffer. That holds the whole body, so a part is a single chunk.
async fn content(mut part: Field<'_>) -> Result<Bytes, Error> {
    let first = part.chunk().await.map_err(broken)?.unwrap_or_default();
    let Some(second) = part.chunk().await.map_err(broken)? else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    whole.extend_from_slice(&second);
    while let Some(chunk) = part.chunk().await.map_err(broken)? {
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

async fn text(part: Field<'_>) -> Result<String, Error> {
    part.text().await.map_err(broken)
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(error: multer::Error) -> Error {
    Error::Malformed(format!("the multipart body is broken: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::service::ScoreFunction;

    const FORM_DATA: HeaderValue = HeaderValue::from_static("multipart/form-data; boundary=XX");

    fn part(name: &str, content: &str) -> String {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.jpg\"\r\n\r\n{content}\r\n")
    }

    async fn read(parts: &[String]) -> Result<Form, Error> {
        parse(format!("{}--XX--\r\n", parts.concat()).into(), Some(&FORM_DATA)).await
    }

    #[tokio::test]
    async fn a_part_image_is_one_and_parts_images_are_a_list_even_of_one() {
        let one = read(&[part("image", "\r\n-a--XX")]).await.unwrap();
        assert_eq!((one.images, one.shape), (vec![Bytes::from("\r\n-a--XX")], Shape::One));
        let list = read(&[part("images", "a")]).await.unwrap();
        assert_eq!((list.images, list.shape), (vec![Bytes::from("a")], Shape::List));
        let two = read(&[part("images", "a"), part("images", "b")]).await.unwrap();
        assert_eq!(two.images, ["a", "b"]);
    }

    #[tokio::test]
    async fn parts_are_images_by_all_the_names_that_clients_give_them() {
        for name in ONE {
            let one = read(&[part(name, "a")]).await.unwrap();
            assert_eq!((one.images, one.shape), (vec![Bytes::from("a")], Shape::One), "{name}");
            let two = read(&[part(name, "a"), part(name, "b")]).await.unwrap();
            assert_eq!((two.images, two.shape), (vec![Bytes::from("a"), Bytes::from("b")], Shape::List), "{name}");
        }
        for name in LIST {
            let list = read(&[part(name, "a")]).await.unwrap();
            assert_eq!((list.images, list.shape), (vec![Bytes::from("a")], Shape::List), "{name}");
        }
        let mixed = read(&[part("images", "a"), part("file", "b")]).await.unwrap();
        assert_eq!((mixed.images, mixed.shape), (vec![Bytes::from("a"), Bytes::from("b")], Shape::List));
        for name in ONE.iter().chain(&LIST) {
            assert!(KNOWN.contains(name), "{name}");
        }
    }

    #[tokio::test]
    async fn fields_of_text_that_nobody_knows_are_ignored_and_named() {
        let field = |name| format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nx\r\n");
        let form = read(&[field("csrf"), part("image", "a"), field("topk")]).await.unwrap();
        assert_eq!((form.images, form.ignored), (vec![Bytes::from("a")], vec!["part csrf".into(), "part topk".into()]));
    }

    #[tokio::test]
    async fn options_may_stand_before_and_after_the_image() {
        let form = read(&[part("top_k", "3"), part("image", "a"), part("function_to_apply", "none")]).await.unwrap();
        assert_eq!(form.options, AnswerOptions { top_k: Some(3), function: Some(ScoreFunction::None) });
    }

    #[tokio::test]
    async fn an_error_names_the_part() {
        for (parts, named) in [
            (vec![part("photo", "a")], "part \"photo\" is a file of an unknown name; an image is named image"),
            (vec![part("top_k", "1")], "no part is an image; an image is named image"),
            (vec![part("image", "")], "part image is empty"),
            (vec![part("files", "a"), part("files", "")], "part files is empty"),
            (vec![part("image", "a"), part("top_k", "0")], "top_k"),
            (vec![part("image", "a"), part("function_to_apply", "relu")], "function_to_apply"),
        ] {
            let error = read(&parts).await.unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[tokio::test]
    async fn a_part_that_breaks_off_or_a_missing_boundary_is_an_error() {
        let cut = parse(part("image", "a").into(), Some(&FORM_DATA)).await.unwrap_err();
        assert!(cut.to_string().contains("broken"), "{cut}");
        for content_type in [None, Some(&HeaderValue::from_static("multipart/form-data"))] {
            let error = parse(part("image", "a").into(), content_type).await.unwrap_err();
            assert!(error.to_string().contains("boundary"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_part_may_be_as_large_as_a_body() {
        let large = "x".repeat(3 << 20);
        assert_eq!(read(&[part("image", &large)]).await.unwrap().images, [large]);
    }
}
