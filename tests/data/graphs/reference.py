"""Writes the expected results of the examples of sparse products: python3 tests/data/graphs/reference.py

The committed files were computed with networkx 3.6.1, scikit-learn 1.9.1 and SciPy 1.17.1 from the data of examples/data.
These libraries share no code with the engine, so the results are independent.
"""

import csv
from pathlib import Path

import networkx as nx
import numpy as np
from scipy.io import mmread
from scipy.sparse import csgraph, csr_array, diags_array
from sklearn.feature_extraction.text import TfidfVectorizer

HERE = Path(__file__).parent
DATA = HERE.parent.parent.parent / "examples" / "data"


def read(name):
    with open(DATA / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(name, header, rows):
    with open(HERE / f"expected_{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def matrix(rows, row, col, value):
    """The rows of a file as a sparse matrix, with the names of its rows and columns."""
    names, columns = (sorted({r[key] for r in rows}) for key in (row, col))
    coordinates = [[names.index(r[row]) for r in rows], [columns.index(r[col]) for r in rows]]
    return csr_array(([float(r[value]) for r in rows], coordinates), shape=(len(names), len(columns))), names, columns


def assert_distinct(values):
    """Rows are compared in order, which must not depend on rounding errors."""
    assert np.all(-np.diff(values) > 1e-6), values


def pagerank():
    graph = nx.DiGraph((r["source"], r["target"]) for r in read("links.csv"))
    ranks = sorted(nx.pagerank(graph, alpha=0.85, tol=1e-15, max_iter=2000).items(), key=lambda item: -item[1])
    assert_distinct([rank for _, rank in ranks])
    write("pagerank", ["page", "rank"], ranks)


def breadth_first_search():
    graph = nx.from_scipy_sparse_array(mmread(DATA / "karate.mtx", spmatrix=False))
    assert nx.utils.edges_equal(graph.edges, nx.karate_club_graph().edges)
    levels = {}
    for member, level in nx.single_source_shortest_path_length(graph, 16).items():
        levels.setdefault(level, []).append(member)
    rows = [[level, len(members), sorted(members)] for level, members in sorted(levels.items())]
    write("breadth_first_search", ["level", "people", "members"], rows)


def similar_items():
    ratings, films, _ = matrix(read("ratings.csv"), "film", "person", "rating")
    vectors = diags_array(1 / np.sqrt(ratings.power(2).sum(axis=1))) @ ratings
    cosines = (vectors @ vectors.T).toarray()
    rows = []
    for film, name in enumerate(films):
        others = [other for other in range(len(films)) if other != film and cosines[film, other] > 0]
        others.sort(key=lambda other: -cosines[film, other])
        assert_distinct(cosines[film, others])
        rows += [[name, place, films[o], float(cosines[film, o])] for place, o in enumerate(others[:10], start=1)]
    write("similar_items", ["film", "place", "other", "similarity"], rows)


def shortest_paths():
    graph = nx.DiGraph()
    graph.add_weighted_edges_from((r["source"], r["target"], int(r["minutes"])) for r in read("roads.csv"))
    places = sorted(graph)
    minutes = csgraph.floyd_warshall(nx.to_scipy_sparse_array(graph, places))
    assert {(s, t) for s, ways in nx.all_pairs_dijkstra_path_length(graph) for t in ways.items()} == {
        (places[s], (places[t], minutes[s, t])) for s, t in np.argwhere(np.isfinite(minutes))
    }
    rows = [[places[s], places[t], int(minutes[s, t])] for s, t in np.argwhere(np.isfinite(minutes))]
    write("shortest_paths", ["source", "target", "minutes"], sorted(rows, key=lambda row: (row[0], row[2], row[1])))


def document_similarity():
    sentences = read("sentences.csv")
    vectors = TfidfVectorizer().fit_transform(row["text"] for row in sentences)
    cosines = np.triu((vectors @ vectors.T).toarray(), k=1)
    pairs = sorted(np.argwhere(cosines > 0), key=lambda pair: -cosines[tuple(pair)])
    assert_distinct([cosines[a, b] for a, b in pairs])
    rows = [[sentences[a]["doc"], sentences[b]["doc"], float(cosines[a, b])] for a, b in pairs]
    write("document_similarity", ["doc", "other", "similarity"], rows)


if __name__ == "__main__":
    pagerank()
    breadth_first_search()
    similar_items()
    shortest_paths()
    document_similarity()
