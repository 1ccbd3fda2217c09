//! What a file is that stands where another should: left by tools that fetch files. Not here: files that are damaged.

/// What it is and what to do, where its first bytes show that it is not what its name says.
pub(super) fn what(start: &[u8]) -> Option<&'static str> {
    let text = start.trim_ascii_start();
    let begins = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    if begins("version https://git-lfs.github.com/spec/") {
        Some("it is a Git LFS pointer, not the file itself; run git lfs pull in the repository")
    } else if begins("<!doctype html") || begins("<html") {
        Some("it is a web page; fetch the file itself (on the Hugging Face Hub by resolve, not by blob)")
    } else if begins("PK\x03\x04") {
        Some("it is a file of torch.save, a pickle in a zip, not safetensors")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_and_a_web_page_are_known() {
        assert!(
            what(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
                .is_some_and(|why| why.contains("git lfs pull"))
        );
        assert!(what(b"\n<!DOCTYPE HTML><title>").is_some_and(|why| why.contains("web page")));
        assert_eq!(what(b"{\"architecture\""), None);
        assert_eq!(what(b""), None);
    }
}
