"""REUTERS-10K (DEC paper, section 4.1): RCV1-v2, four roots as classes, tf-idf of the 2,000 commonest words."""

import numpy as np
from sklearn.datasets import fetch_rcv1
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.preprocessing import normalize

from dec_keras.data.formats import keep
from dec_keras.files.untrusted import unpacked

PREPARED = {"guo": "reutersidf10k", "xie": "reutersidf10k_xie"}
ROOTS = ("CCAT", "GCAT", "MCAT", "ECAT")
TOKEN_FILES = (*(f"lyrl2004_tokens_test_pt{i}.dat" for i in range(4)), "lyrl2004_tokens_train.dat")
TRAIN_DOCUMENTS = 23_149  # LYRL2004's training split


def from_tokens(paths, subset):
    """RCV1-v2's token files and topic assignments -> the prepared subset, which is kept beside them as .npz."""
    roots = _roots(paths[-1])
    y = []

    def texts():
        for document, text in _documents(paths[:-1]):
            if len(roots[document]) == 1:  # a KeyError means that the topics' file was cut off
                y.extend(roots[document])
                yield text

    counts = CountVectorizer(dtype=np.float64, max_features=2000).fit_transform(texts())
    expected = sum(len(classes) == 1 for classes in roots.values())
    if len(y) != expected:
        raise ValueError(f"{expected} documents have one root topic, but {len(y)} of them have tokens")
    x = TfidfTransformer(norm="l2", sublinear_tf=True).fit_transform(counts)
    x, y = _ten_thousand(x, np.array(y), subset)
    keep(paths[0].parent / f"{PREPARED[subset]}.npz", x, y)
    return x, y


def _roots(path):
    """Reads lines "topic document 1" into {document: list of its classes, 0 to 3} of every document."""
    roots = {}
    with unpacked(path) as file:
        for line in file.read().decode().splitlines():
            topic, document, _ = line.split()
            classes = roots.setdefault(int(document), [])
            if topic in ROOTS:
                classes.append(ROOTS.index(topic))
    return roots


def _documents(paths):
    """Yields (document, text). A document's lines are ".I <document>", ".W", lines of tokens, and a blank line."""
    for path in paths:
        with unpacked(path) as file:
            document, words = None, []
            for line in map(bytes.decode, file):
                if line.startswith(".I"):
                    if document is not None:
                        yield document, " ".join(words)
                    document, words = int(line.split()[1]), []
                elif not line.startswith(".W"):
                    words.append(line.strip())
            if document is not None:
                yield document, " ".join(words)


def _ten_thousand(x, y, subset):
    """Guo: the first 10,000 documents, permuted. Xie: 10,000 of a permutation of all. ||x||^2 becomes d."""
    n = len(y) if subset == "xie" else min(10_000, len(y))
    rows = np.random.RandomState(1234).permutation(n)[:10_000]
    return (x[rows].toarray() * np.sqrt(x.shape[1])).astype(np.float32), y[rows]


def from_scikit_learn(subset):
    """The same documents from scikit-learn's `fetch_rcv1`, where the token files are missing."""
    print(
        "The RCV1 token files are not here: taking the same documents from scikit-learn's fetch_rcv1 instead. They "
        "differ: idf is that of the 23,149 training documents, and the 2,000 words are those in most documents, not "
        "those counted most often. For the published data, run `bash data/reuters/get_data.sh`."
    )
    rcv1 = fetch_rcv1(subset="all", shuffle=False)
    order = np.roll(
        np.arange(rcv1.data.shape[0]), -TRAIN_DOCUMENTS
    )  # test documents first, as the token files are read
    roots = rcv1.target[:, [list(rcv1.target_names).index(root) for root in ROOTS]].toarray()[order]
    one_root = roots.sum(axis=1) == 1
    x, y = rcv1.data[order[one_root]], roots[one_root].argmax(axis=1)
    words = np.sort(np.argsort(-x.getnnz(axis=0), kind="stable")[:2000])
    return _ten_thousand(normalize(x[:, words]), y, subset)
