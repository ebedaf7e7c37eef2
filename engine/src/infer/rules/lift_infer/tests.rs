//! Plans before and after [`LiftInfer`].

use insta::assert_snapshot;

use super::*;
use crate::session::rule_test::rewrite;

async fn lift(sql: &str) -> String {
    let rule = LiftInfer::new(Arc::new(ModelRegistry::with_builtin_model().unwrap()));
    rewrite(Arc::new(rule), sql).await.unwrap_or_else(|error| crate::user_message(&error))
}

#[tokio::test]
async fn calls_become_columns() {
    assert_snapshot!(lift("SELECT uri, classify(image) FROM t").await, @r#"
    Projection: t.uri, __infer_1 AS classify(t.image)
      Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
        TableScan: t
    "#);
}

#[tokio::test]
async fn calls_on_the_same_image_share_a_node() {
    assert_snapshot!(lift("SELECT classify(image), upper(classify(image)), try_classify(image) FROM t").await, @r#"
    Projection: __infer_1 AS classify(t.image), upper(__infer_1) AS upper(classify(t.image)), __infer_2 AS try_classify(t.image)
      Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1, try_classify AS __infer_2]
        TableScan: t
    "#);
}

#[tokio::test]
async fn computed_images_are_projected_below() {
    assert_snapshot!(lift("SELECT classify(coalesce(image, X'ff')) FROM t").await, @r#"
    Projection: __infer_2 AS classify(coalesce(t.image,Binary("255")))
      Infer: model=resnet20-cifar10, image=__image_1, outputs=[classify AS __infer_2]
        Projection: t.uri, t.image, t.year, coalesce(t.image, Binary("255")) AS __image_1
          TableScan: t
    "#);
}

#[tokio::test]
async fn calls_in_case_are_guarded() {
    let sql = "SELECT CASE WHEN year > 2000 THEN classify(image) WHEN year > 1900 THEN 'old' ELSE
               concat(uri, classify(image, model => NULL)) END FROM t";
    assert_snapshot!(lift(sql).await, @r#"
    Projection: CASE WHEN t.year > Int64(2000) THEN __infer_2 WHEN t.year > Int64(1900) THEN Utf8("old") ELSE concat(t.uri, __infer_2) END AS CASE WHEN t.year > Int64(2000) THEN classify(t.image) WHEN t.year > Int64(1900) THEN Utf8("old") ELSE concat(t.uri,classify(t.image,NULL)) END
      Infer: model=resnet20-cifar10, image=t.image, guard=__guard_1, outputs=[classify AS __infer_2]
        Projection: t.uri, t.image, t.year, t.year > Int64(2000) IS TRUE OR CASE WHEN t.year > Int64(2000) IS NOT TRUE THEN CASE WHEN t.year > Int64(1900) IS NOT TRUE THEN Int64(1) END END IS NOT NULL AS __guard_1
          TableScan: t
    "#);
}

#[tokio::test]
async fn cheap_conjuncts_guard_calls() {
    let sql = "SELECT uri, year > 2000 AND classify(image) = 'cat' AND upper(embed(image)::text) = 'x' FROM t";
    assert_snapshot!(lift(sql).await, @r#"
    Projection: t.uri, t.year > Int64(2000) AND __infer_2 = Utf8("cat") AND upper(CAST(__infer_3 AS Utf8View)) = Utf8("x") AS t.year > Int64(2000) AND classify(t.image) = Utf8("cat") AND upper(embed(t.image)) = Utf8("x")
      Infer: model=resnet20-cifar10, image=t.image, guard=__guard_1, outputs=[classify AS __infer_2, embed AS __infer_3]
        Projection: t.uri, t.image, t.year, t.year > Int64(2000) IS NOT FALSE AS __guard_1
          TableScan: t
    "#);
}

#[tokio::test]
async fn guards_protect_computed_images() {
    assert_snapshot!(lift("SELECT COALESCE(uri, classify(coalesce(image, X'ff'))) FROM t").await, @r#"
    Projection: coalesce(t.uri, __infer_2) AS coalesce(t.uri,classify(coalesce(t.image,Binary("255"))))
      Infer: model=resnet20-cifar10, image=__image_1, outputs=[classify AS __infer_2]
        Projection: t.uri, t.image, t.year, CASE WHEN t.uri IS NULL THEN coalesce(t.image, Binary("255")) END AS __image_1
          TableScan: t
    "#);
}

#[tokio::test]
async fn calls_that_cannot_be_guarded_stay() {
    for sql in [
        "SELECT CASE WHEN random() > 0.5 THEN classify(image) END FROM t",
        "SELECT CASE WHEN year > (SELECT avg(year) FROM u) THEN classify(image) END FROM t",
        "SELECT classify(CASE WHEN random() > 0.5 THEN image END) FROM t",
    ] {
        let plan = lift(sql).await;
        assert!(!plan.contains("Infer:"), "{plan}");
    }
    let plan = lift("SELECT CASE WHEN random() > 0.5 THEN classify(image) END, classify(image) FROM t").await;
    assert!(plan.contains("Infer:") && !plan.contains("guard"), "{plan}");
}

#[tokio::test]
async fn cyclic_dependencies_are_resolved() {
    let plan = lift(
        "SELECT CASE WHEN uri = 'a' THEN classify(image) WHEN classify(image) = 'x' THEN try_classify(image) END,
                CASE WHEN uri = 'b' THEN try_classify(image) WHEN try_classify(image) = 'y' THEN classify(image) END
         FROM t",
    )
    .await;
    assert_eq!(plan.matches("Infer:").count(), 1, "{plan}");
}

#[tokio::test]
async fn join_conditions_on_images_of_both_tables_become_filters() {
    let sql = "SELECT t.uri FROM t JOIN u ON t.year = u.year AND classify(coalesce(t.image, u.image)) = 'cat'";
    assert_snapshot!(lift(sql).await, @r#"
    Projection: t.uri
      Projection: t.uri, t.image, t.year, u.uri, u.image, u.year
        Filter: __infer_2 = Utf8("cat")
          Infer: model=resnet20-cifar10, image=__image_1, outputs=[classify AS __infer_2]
            Projection: t.uri, t.image, t.year, u.uri, u.image, u.year, coalesce(t.image, u.image) AS __image_1
              Inner Join:  Filter: t.year = u.year
                TableScan: t
                TableScan: u
    "#);
}

#[tokio::test]
async fn filters_restore_the_schema() {
    assert_snapshot!(lift("SELECT uri FROM t WHERE classify(image) = 'cat' AND year > 2000").await, @r#"
    Projection: t.uri
      Projection: t.uri, t.image, t.year
        Filter: __infer_1 = Utf8("cat")
          Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
            Filter: t.year > Int64(2000)
              TableScan: t
    "#);
}

#[tokio::test]
async fn aggregates_keep_their_column_names() {
    assert_snapshot!(lift("SELECT classify(image), count(*) FROM t GROUP BY ROLLUP (classify(image))").await, @r#"
    Projection: classify(t.image), count(Int64(1)) AS count(*)
      Aggregate: groupBy=[[ROLLUP (__infer_1 AS classify(t.image))]], aggr=[[count(Int64(1))]]
        Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
          TableScan: t
    "#);
}

#[tokio::test]
async fn join_conditions_are_lifted_into_both_inputs() {
    assert_snapshot!(lift("SELECT t.uri FROM t JOIN u ON classify(t.image) = classify(u.image)").await, @r#"
    Projection: t.uri
      Projection: t.uri, t.image, t.year, u.uri, u.image, u.year
        Inner Join:  Filter: __infer_1 = __infer_2
          Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
            TableScan: t
          Infer: model=resnet20-cifar10, image=u.image, outputs=[classify AS __infer_2]
            TableScan: u
    "#);
}

#[tokio::test]
async fn plans_without_calls_are_unchanged() {
    assert_snapshot!(lift("SELECT uri FROM t WHERE image_width(image) > 100 ORDER BY year").await, @r#"
    Projection: t.uri
      Sort: t.year ASC NULLS LAST
        Projection: t.uri, t.year
          Filter: image_width(t.image) > Int64(100)
            TableScan: t
    "#);
}

#[tokio::test]
async fn correlated_subqueries_are_unchanged() {
    assert_snapshot!(
        lift("SELECT uri FROM t WHERE EXISTS (SELECT 1 FROM u WHERE classify(u.image) = t.uri)").await,
        @r#"
        Projection: t.uri
          Filter: EXISTS (<subquery>)
            Subquery:
              Projection: Int64(1)
                Filter: classify(u.image) = outer_ref(t.uri)
                  TableScan: u
            TableScan: t
        "#
    );
}

#[tokio::test]
async fn unknown_models_are_errors() {
    let error = lift("SELECT classify(image, model => 'nope') FROM t").await;
    assert_eq!(error, "model 'nope' does not exist; known models: resnet20-cifar10");
}
