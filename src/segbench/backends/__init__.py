"""The segmentation backends: readers, processors, schedulers and how they are found."""
