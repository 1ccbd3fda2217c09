//! The series of models come and go with them.

use super::*;

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.encode().unwrap().0).unwrap()
}

#[test]
fn a_models_series_end_with_it_and_no_others() {
    let metrics = Metrics::new().unwrap();
    let (gone, stays) = (metrics.model("gone"), metrics.model("stays"));
    for model in [&gone, &stays] {
        model.serves("ConvNeXt", "cpu");
        model.batch("ConvNeXt", "cpu", 3, Duration::from_millis(5));
        let mut timer = metrics.request("http");
        timer.model(Arc::clone(model));
        timer.finish("200");
    }
    // a request of it is still being answered
    let mut late = metrics.request("http");
    late.model(Arc::clone(&gone));
    drop(gone);
    assert!(text(&metrics).contains("model=\"gone\""));
    late.finish("500");
    let text = text(&metrics);
    assert!(!text.contains("gone"), "{text}");
    assert!(text.contains("convnext_images_total{family=\"ConvNeXt\",model=\"stays\"} 3"), "{text}");
    drop(stays);
}

#[test]
fn a_model_that_comes_back_before_the_last_request_is_answered_keeps_its_series() {
    let metrics = Metrics::new().unwrap();
    let old = metrics.model("m");
    old.batch("ConvNeXt", "cpu", 2, Duration::ZERO);
    let new = metrics.model("m");
    drop(old);
    new.batch("ConvNeXt", "cpu", 1, Duration::ZERO);
    assert!(text(&metrics).contains("convnext_images_total{family=\"ConvNeXt\",model=\"m\"} 3"));
}
