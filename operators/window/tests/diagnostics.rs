//! What the compiler says where a bound is missing: it must point to the guide. The texts are those of the compiler that the
//! project is built with; another one may word them differently (`TRYBUILD=overwrite cargo test` writes them anew).
//!
//! They are in this crate because it is the smallest with what they speak of: all that it depends on is built for them once more.

#[test]
fn missing_bounds_point_to_the_guide() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
    for case in std::fs::read_dir("ui").unwrap().map(|entry| entry.unwrap().path()) {
        if case.extension().is_some_and(|extension| extension == "stderr") && !case.ends_with("wrong_sink.stderr") {
            assert!(std::fs::read_to_string(&case).unwrap().contains("tidemill::guide"), "{}", case.display());
        }
    }
}
