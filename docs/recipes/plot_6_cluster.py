"""
Scikit-image on a Dask cluster
==============================

Use a cluster when one machine is not enough, or when you want to watch the tasks on Dask's dashboard. A local cluster
lets you try your script on one machine; the same lines work with the address of a real cluster.

.. include:: /recipes/when/cluster.txt

The figure shows how long each process worked on each batch of three images. The first batch takes longer, because
scikit-image loads most of its modules when they are used for the first time.
"""

import os
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster
from skimage import color, data, filters, io, measure, util


def batch_areas(batch):
    start, found = time.time(), []
    for file in batch:
        gray = filters.gaussian(color.rgb2gray(io.imread(file)), sigma=1)
        cells = gray < filters.threshold_local(gray, 101, offset=0.05)
        found.append(np.bincount(measure.label(cells, connectivity=1).ravel())[1:])
    return f"process {os.getpid()}", start, time.time() - start, np.concatenate(found)


# %%
# Each process of the cluster imports the file of this script before it works. Without the next
# line, it would try to start its own cluster. A notebook does not need that line.
if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp())  # put the folder of your images here
    for number in range(0 if any(folder.iterdir()) else 24):  # draws into an empty folder alone
        cells = data.binary_blobs(256, blob_size_fraction=0.12, volume_fraction=0.2, rng=number)
        stain = filters.gaussian(cells, sigma=2)[..., np.newaxis] * [0.2, 0.5, 0.2]
        image = util.random_noise(0.9 - stain, var=0.001, rng=number)
        io.imsave(folder / f"{number:02}.png", util.img_as_ubyte(image), check_contrast=False)
    files = sorted(folder.glob("*.png"))
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster) as client:
        tasks = client.map(batch_areas, [files[first : first + 3] for first in range(0, 24, 3)])
        names, starts, lengths, found = zip(*client.gather(tasks), strict=True)
    areas = np.concatenate(found)
    areas = areas[areas >= 30]  # smaller objects are noise
    print(f"{areas.size} cells cover {areas.sum()} pixels")
    figure, axes = plt.subplots(figsize=(7, 2), layout="constrained")
    axes.barh(names, lengths, left=np.subtract(starts, min(starts)), edgecolor="white")
    axes.set_xlabel("seconds from the start of the first batch")
    plt.show()
