// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * memory.c - memory that the disk can reach, and proof that it can reach no other.
 */
#include <linux/bitmap.h>
#include <linux/dma-map-ops.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "dmap.h"

int dmap_pool_init(struct dmap_dev *dev, struct dmap_pool *pool, size_t bytes)
{
	pool->bytes = PAGE_ALIGN(bytes);
	pool->cpu = dma_alloc_coherent(&dev->pdev->dev, pool->bytes, &pool->bus, GFP_KERNEL);
	return pool->cpu ? 0 : -ENOMEM;
}

void dmap_pool_exit(struct dmap_dev *dev, struct dmap_pool *pool)
{
	if (pool->cpu)
		dma_free_coherent(&dev->pdev->dev, pool->bytes, pool->cpu, pool->bus);
	pool->cpu = NULL;
}

/* By the DMA API, which takes how much is skipped from where userspace put its offset. */
static int map_whole(struct dmap_dev *dev, struct vm_area_struct *vma, struct dmap_pool *pool,
		     size_t skip)
{
	unsigned long pgoff = vma->vm_pgoff;
	int err;

	vma->vm_pgoff = skip >> PAGE_SHIFT;
	err = dma_mmap_coherent(&dev->pdev->dev, vma, pool->cpu, pool->bus, pool->bytes);
	vma->vm_pgoff = pgoff;
	return err;
}

static int map_scattered(struct dmap_dev *dev, struct vm_area_struct *vma, const void *from)
{
	unsigned long at, bytes;
	int err = 0;

	if (!dev_is_dma_coherent(&dev->pdev->dev))
		vma->vm_page_prot = pgprot_dmacoherent(vma->vm_page_prot);
	for (at = vma->vm_start; at < vma->vm_end && !err; at += bytes, from += bytes) {
		unsigned long frame = vmalloc_to_pfn(from);

		bytes = PAGE_SIZE;
		while (bytes < vma->vm_end - at &&
		       vmalloc_to_pfn(from + bytes) == frame + (bytes >> PAGE_SHIFT))
			bytes += PAGE_SIZE;
		err = remap_pfn_range(vma, at, frame, bytes, vma->vm_page_prot);
		cond_resched();
	}
	return err;
}

/*
 * Pages are mapped by their numbers, so that nobody can get a reference to one (vmsplice, a
 * registered buffer, direct I/O of a process that was killed) and still see it when the file is
 * released and the page is somebody else's. What is in many pieces behind an IOMMU, the DMA API
 * would map otherwise.
 */
int dmap_pool_map(struct dmap_dev *dev, struct vm_area_struct *vma, struct dmap_pool *pool,
		  size_t skip)
{
	int err;

	if (is_vmalloc_addr(pool->cpu))
		err = map_scattered(dev, vma, pool->cpu + skip);
	else
		err = map_whole(dev, vma, pool, skip);
	if (!err && !(vma->vm_flags & VM_PFNMAP))
		err = -EOPNOTSUPP;
	return err;
}

int dmap_buffers_take(struct dmap_dev *dev, u32 count, u32 *first)
{
	unsigned long at;

	*first = 0;
	if (!count)
		return 0;
	if (count > dev->buffer_count)
		return -ENOMEM;
	at = bitmap_find_next_zero_area(dev->buffers_taken, dev->buffer_count, 0, count, 0);
	if (at + count > dev->buffer_count)
		return -ENOMEM;
	bitmap_set(dev->buffers_taken, at, count);
	*first = at;
	return 0;
}

void dmap_buffers_give(struct dmap_dev *dev, u32 first, u32 count)
{
	bitmap_clear(dev->buffers_taken, first, count);
}

u32 dmap_buffers_free(struct dmap_dev *dev)
{
	unsigned int begin, end;
	u32 longest = 0;

	for_each_clear_bitrange(begin, end, dev->buffers_taken, dev->buffer_count) longest =
		max(longest, end - begin);
	return longest;
}

/* The pages of a part of another disk's pool, which the DMA API shows as a whole only. */
static int table_of_buffers(struct sg_table *table, struct dmap_dev *owner, size_t offset,
			    size_t bytes)
{
	struct dmap_pool *pool = &owner->buffers;
	unsigned long count = bytes >> PAGE_SHIFT, skip = offset >> PAGE_SHIFT, n = 0;
	struct sg_page_iter iter;
	struct sg_table whole;
	struct page **pages;
	int err;

	err = dma_get_sgtable(&owner->pdev->dev, &whole, pool->cpu, pool->bus, pool->bytes);
	if (err)
		return -EOPNOTSUPP;
	pages = kvmalloc_array(count, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages) {
		err = -ENOMEM;
		goto free_whole;
	}
	for_each_sgtable_page(&whole, &iter, skip)
	{
		pages[n++] = sg_page_iter_page(&iter);
		if (n == count)
			break;
	}
	err = n == count
		      ? sg_alloc_table_from_pages(table, pages, count, 0, bytes, GFP_KERNEL_ACCOUNT)
		      : -EOPNOTSUPP;
	kvfree(pages);
free_whole:
	sg_free_table(&whole);
	return err;
}

/* Whether the disk sees it all in one piece. A segment is shorter than 4 GiB; there may be many. */
static bool is_one_piece(struct sg_table *table, size_t bytes)
{
	dma_addr_t next = sg_dma_address(table->sgl);
	struct scatterlist *sg;
	size_t total = 0;
	int i;

	for_each_sgtable_dma_sg(table, sg, i)
	{
		if (sg_dma_address(sg) != next)
			return false;
		next += sg_dma_len(sg);
		total += sg_dma_len(sg);
	}
	return total == bytes;
}

int dmap_loan_init(struct dmap_dev *dev, struct dmap_loan *loan, struct dmap_dev *owner, u32 first,
		   u32 count, dma_addr_t *bus)
{
	size_t offset = (size_t)first * owner->buffer_bytes;
	size_t bytes = (size_t)count * owner->buffer_bytes;
	struct device *dma = &dev->pdev->dev;
	int err;

	err = table_of_buffers(&loan->table, owner, offset, bytes);
	if (err)
		return err;
	err = dma_map_sgtable(dma, &loan->table, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	if (err)
		goto free_table;
	*bus = sg_dma_address(loan->table.sgl);
	/*
	 * In one piece, since addresses are relative; and without copies or cache maintenance,
	 * which nobody would do. (With an IOMMU, older kernels say on principle that maintenance is
	 * needed, and whole pages are not copied.)
	 */
	if (!is_one_piece(&loan->table, bytes) || !dev_is_dma_coherent(dma) ||
	    (!dev->confined && dma_need_sync(dma, *bus))) {
		err = -EOPNOTSUPP;
		goto unmap;
	}
	return 0;

unmap:
	dma_unmap_sgtable(dma, &loan->table, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
free_table:
	sg_free_table(&loan->table);
	return err;
}

void dmap_loan_exit(struct dmap_dev *dev, struct dmap_loan *loan)
{
	struct device *dma = &dev->pdev->dev;
	struct iommu_domain *domain = iommu_get_domain_for_dev(dma);

	dma_unmap_sgtable(dma, &loan->table, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	/* The DMA API may leave translations cached for some time; the next owner cannot wait. */
	if (domain)
		iommu_flush_iotlb_all(domain);
	sg_free_table(&loan->table);
}

static int count_device(struct device *dev, void *count)
{
	++*(unsigned int *)count;
	return 0;
}

/* Firmware has the IOMMU let some devices through to memory that it keeps for them. */
static bool has_windows(struct iommu_group *group)
{
	struct iommu_resv_region *region, *next;
	bool found = false;
	LIST_HEAD(regions);

	if (iommu_get_group_resv_regions(group, &regions))
		found = true; /* perhaps */
	list_for_each_entry_safe(region, next, &regions, list)
	{
		if (region->type == IOMMU_RESV_DIRECT ||
		    region->type == IOMMU_RESV_DIRECT_RELAXABLE)
			found = true;
		kfree(region);
	}
	return found;
}

bool dmap_is_confined(struct pci_dev *pdev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&pdev->dev);
	struct iommu_group *group = iommu_group_get(&pdev->dev);
	unsigned int devices = 0;
	bool confined;

	if (!group)
		return false;
	iommu_group_for_each_dev(group, &devices, count_device);
	/* Translated by the DMA API's own domain, not by identity, and with nobody else in it. */
	confined = domain && (domain->type & __IOMMU_DOMAIN_DMA_API) && devices == 1 &&
		   dmap_msi_isolated(&pdev->dev, group) && !has_windows(group);
	iommu_group_put(group);
	return confined;
}
